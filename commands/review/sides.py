"""Two versions of the project side by side, out of git and the working tree: params and numbers.

Nothing is run, and no DVC cache is needed: what is compared is committed.
"""

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from commands.git import output_of
from pipeline.core.console import InputError
from pipeline.core.params import Params, load_params
from pipeline.core.paths import FIGURES, METRICS, SEED_VALUES
from pipeline.core.presets import PARAMS
from pipeline.core.reproduce import LOCK
from pipeline.reporting.headline import Headline, headline, read_metrics
from pipeline.reporting.seed_band import SeedValues, read_seed_values
from pipeline.reporting.short_headline import BASE, short_headline, shown_variant

COMPARED = (PARAMS, LOCK, METRICS, SEED_VALUES)
DRAWN = FIGURES / "light"  # the dark ones are the same in other inks


@dataclass(frozen=True)
class Version:
    """A version of the project. short: the numbers of `variant`, beside the untouched model;
    rows: the headline of every variant. Empty where it has no results."""

    variant: str | None
    short: Headline
    rows: Mapping[str, Headline]


def side_of(folder: Path, params: Params, seeds: SeedValues) -> Version:
    """The numbers of a version of the project, as far as it has results of today's form."""
    reading, asking = params.reading, params.asking
    variant = shown_variant(params.figures.compared)
    trees, rows = dict[str, Any](), dict[str, Headline]()
    for name in params.variants:
        with suppress(OSError, KeyError):
            trees[name] = read_metrics(folder / METRICS, name, seeds)
            rows[name] = headline(trees[name], reading, asking)
    short: Headline = {}
    if variant in rows and BASE in rows:
        short = short_headline(trees[BASE], trees[variant], reading, asking)
    return Version(variant, short, rows)


def known_seeds(folder: Path, then: Path, params: Sequence[Params]) -> SeedValues:
    """The values over seeds that belong to either version's params."""
    for own in params:
        for where in (folder, then):
            found = read_seed_values(where / SEED_VALUES, dict(own))
            if found.seeds:
                return found
    return SeedValues()


def read_params(path: Path) -> Params | None:
    """The base's params; nothing where it had other knobs, or none."""
    try:
        return load_params(path)
    except InputError:
        return None


def common_commit(folder: Path, base: str) -> str:
    """The commit from which the working tree and the base went apart."""
    found = subprocess.run(
        ["git", "merge-base", "--end-of-options", base, "HEAD"], cwd=folder, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if found.returncode:
        raise InputError(
            f"git knows no common commit of {base!r} and this one; `git fetch --unshallow origin` "
            "gets the history, and BASE=... names another base"
        )
    return found.stdout.strip()


def extract_commit(folder: Path, commit: str, into: Path, paths: Sequence[Path] = COMPARED) -> None:
    """What is compared, as it was at a commit: those of the paths that it has."""
    known = output_of(folder, "ls-tree", "-z", "--name-only", commit, "--", *map(str, paths))
    there = [path for path in known.split("\0") if path]
    if there:
        packed = subprocess.run(
            ["git", "archive", "--format=zip", commit, "--", *there],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        with ZipFile(BytesIO(packed.stdout)) as archive:
            archive.extractall(into)  # tarfile's safe way is not there before Python 3.11.4


def changed_files(folder: Path, commit: str) -> list[str]:
    """All files that differ from a commit, committed or not."""
    differ = output_of(folder, "diff", "-z", "--name-only", "--no-renames", commit)
    return [path for path in differ.split("\0") if path]


def pictures(folder: Path, commit: str) -> dict[str, list[str]]:
    """The pictures that changed, are new or are gone since a commit, committed or not."""
    lines = output_of(folder, "diff", "-z", "--name-status", "--no-renames", commit, "--",
                      str(DRAWN)).split("\0")  # fmt: skip
    new = output_of(folder, "ls-files", "-oz", "--exclude-standard", "--", str(DRAWN))
    found: dict[str, list[str]] = {"changed": [], "new": [], "gone": []}
    kinds = {"M": "changed", "A": "new", "D": "gone"}
    for how, path in zip(lines[::2], lines[1::2], strict=False):
        found[kinds.get(how, "changed")].append(Path(path).stem)
    found["new"] += [Path(path).stem for path in new.split("\0") if path]
    return found
