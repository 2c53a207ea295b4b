"""The pipeline itself, run for a benchmark: in a clone of the last commit, by params of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from commands.git import output_of
from pipeline.core.console import InputError
from pipeline.core.paths import FIGURES, METRICS


@dataclass(frozen=True)
class Corpus:
    """What is run: params by their path, and the variants."""

    params: Mapping[str, Any]
    variants: tuple[str, ...]
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # variants not in params


def clone(folder: Path) -> Path:
    """A fresh clone of the last commit; a former one is brought up to it, its DVC cache kept."""
    if not folder.exists():
        subprocess.run(["git", "clone", "-q", str(Path.cwd()), str(folder)], check=True)
    subprocess.run(["git", "fetch", "-q", str(Path.cwd()), "HEAD"], cwd=folder, check=True)
    subprocess.run(["git", "reset", "-q", "--hard", "FETCH_HEAD"], cwd=folder, check=True)
    return folder


def commit_of(folder: Path) -> str:
    return output_of(folder, "rev-parse", "--short", "HEAD").strip()


def set_params(folder: Path, seed: int, corpus: Corpus) -> None:
    """Write the committed params with this corpus's own."""
    yaml, path = YAML(), folder / "params.yaml"
    subprocess.run(["git", "checkout", "-q", "params.yaml"], cwd=folder, check=True)
    params = yaml.load(path.read_text(encoding="utf-8"))
    rows = params["variants"]
    for name, row in corpus.rows.items():
        rows[name] = dict(rows[row["of"]]) | {k: v for k, v in row.items() if k != "of"}
    params["seed"], params["runtime"]["threads"] = seed, 1  # several clones run at a time
    params["variants"] = {name: rows[name] for name in corpus.variants}
    params["figures"]["compared"] = [corpus.variants[0], corpus.variants[-1]]
    for keys, value in corpus.params.items():
        *sections, key = keys.split(".")
        section = params
        for name in sections:
            section = section[name]
        section[key] = value
    with path.open("w", encoding="utf-8") as out:
        yaml.dump(params, out)


def commit_of_clean(folder: Path, but: Path) -> str:
    """The last commit, which tracked files do not depart from: what is cloned is what is there.

    but: a file that may. Raises InputError with the first other one that does.
    """
    command = ("status", "--porcelain", "-uno", "--", ".", f":!{but}")
    for line in output_of(folder, *command).splitlines():
        raise InputError(
            f"{line[3:]} differs from the last commit, which is what is run; commit it, or put it "
            "back"
        )
    return commit_of(folder)


def clone_to_go_on(folder: Path) -> Path:
    """The clone of the last commit that a stopped run goes on in, or a new one.

    Raises InputError where the folder holds a clone of another commit.
    """
    if not folder.exists():
        return clone_without_results(folder)
    if (theirs := commit_of(folder)) != (ours := commit_of(Path.cwd())):
        raise InputError(
            f"{folder} holds a run of {theirs}, and this is {ours}; remove it, or name another one"
        )
    return folder


def clone_without_results(folder: Path) -> Path:
    """A clone of the last commit, with a DVC cache of its own, and without dvc.lock and the
    committed results: every stage runs, and no number of another run can be read."""
    subprocess.run(["git", "clone", "-q", str(Path.cwd()), str(folder)], check=True)
    (folder / "dvc.lock").unlink(missing_ok=True)
    for results in (METRICS, FIGURES):
        shutil.rmtree(folder / results, ignore_errors=True)
    return folder


def set_seed(folder: Path, seed: int) -> None:
    yaml, path = YAML(), folder / "params.yaml"
    params = yaml.load(path.read_text(encoding="utf-8"))
    params["seed"] = seed
    with path.open("w", encoding="utf-8") as out:
        yaml.dump(params, out)


def repro(folder: Path, targets: Sequence[str]) -> None:
    """Make a clone's targets, as `python` runs them."""
    python(folder, "dvc", "repro", *targets)


def python(folder: Path, module: str, *arguments: str) -> None:
    """Run a module in a clone on one thread, so that several clones can run at a time. Exits with
    what was printed where it fails."""
    command = [sys.executable, "-m", module, *arguments]
    environment = environment_of(folder) | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed in {folder}:\n{done.stdout}{done.stderr}")


def environment_of(folder: Path) -> dict[str, str]:
    """Where a clone's stages run: with this interpreter, and with no DVC settings and no cache but
    the clone's own."""
    own = folder.resolve() / ".dvc" / "tmp" / "alone"
    settings = ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR")
    return {
        **os.environ,
        **{name: str(own / name.lower()) for name in settings},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
