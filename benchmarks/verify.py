"""Does a run from nothing confirm what is committed? Stage by stage, and number by number.

Runs the pipeline in a temporary clone of the last commit, with an empty DVC cache, and compares:

- equal: every output has the same bytes;
- within tolerance: numbers differ no more than seeds make them (benchmarks/comparing.py);
- other bytes: data, models, curves or pictures differ, which nothing judges;
- changed: more numbers lie outside than seeds explain, or some are missing or new.

Exit code 1 where a stage has changed, else 0.

    .venv/bin/python -m benchmarks.verify
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from benchmarks.comparing import Difference, allowed_share, compare
from benchmarks.runs import clone_without_results, commit_of_clean, environment_of
from commands.git import output_of
from pipeline.core.console import InputError, run
from pipeline.core.params import load_params
from pipeline.core.paths import METRICS, SEED_VALUES
from pipeline.reporting.seed_band import SeedValues, read_seed_values

Digests = dict[str, dict[str, str]]  # by stage, by the path of an output


@dataclass
class Verdict:
    """What became of a stage. files: metrics with other bytes; other: outputs with other bytes
    that nothing judges; limit: the share of its numbers that may lie outside."""

    stage: str
    files: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    compared: int = 0
    limit: float = 0.0
    outside: list[tuple[str, Difference]] = field(default_factory=list)
    broken: list[tuple[str, Difference]] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        if self.broken or len(self.outside) > self.limit * self.compared:
            return "changed"
        if self.files:
            return "within tolerance"
        return "other bytes" if self.other else "equal"

    def line(self) -> str:
        parts = [f"{self.stage:<32} {self.outcome}"]
        if self.files:
            parts.append(
                f"{len(self.outside)} of {self.compared} numbers outside ({self.limit:.0%} may be)"
            )
            parts += [f"{len(self.broken)} missing, new or no numbers"] if self.broken else []
            parts.append(", ".join(self.files))
        if self.other:
            parts.append(f"other bytes: {', '.join(self.other)}")
        return "; ".join(parts)


def main() -> None:
    commit = commit_of_clean(Path.cwd(), but=SEED_VALUES)
    seeds = read_seed_values(SEED_VALUES, dict(load_params()))
    with TemporaryDirectory(prefix="verify-") as folder:
        clone = clone_without_results(Path(folder) / "clone")
        command = [sys.executable, "-m", "dvc", "repro"]
        if subprocess.run(command, cwd=clone, env=environment_of(clone)).returncode:
            raise InputError("the run from nothing failed, as said above; nothing was compared")
        verdicts = compare_stages(clone, seeds)
    print(page(commit, seeds, verdicts))
    sys.exit(any(verdict.outcome == "changed" for verdict in verdicts))


def page(commit: str, seeds: SeedValues, verdicts: Sequence[Verdict]) -> str:
    """The numbers that are not confirmed, then a line per stage."""
    rows = [
        (file, d.number, _said(d.committed), _said(d.found), _said(d.tolerance))
        for verdict in verdicts
        for file, d in (*verdict.broken, *verdict.outside)
    ]
    lines = _columns([("file", "number", "committed", "found", "tolerance"), *rows]) if rows else []
    held = (
        f"tolerances: {len(seeds.seeds)} seeds of {seeds.commit}"
        if seeds.seeds
        else f"{SEED_VALUES} has no band of these params: no tolerance but the last digit's"
    )
    return "\n".join([*lines, "", f"{commit}, {held}", *(verdict.line() for verdict in verdicts)])


def compare_stages(clone: Path, seeds: SeedValues) -> list[Verdict]:
    """Every stage of a clone that has been run, beside the commit that it is of."""
    tracked = output_of(clone, "ls-tree", "-rz", "--name-only", "HEAD").split("\0")
    new = output_of(clone, "ls-files", "-oz", "--exclude-standard").split("\0")
    touched = output_of(clone, "diff", "-z", "--name-only", "HEAD").split("\0")
    changed = {*filter(None, (*touched, *new))}
    before = _digests(_committed(clone, "dvc.lock") if "dvc.lock" in tracked else "")
    after = _digests((clone / "dvc.lock").read_text(encoding="utf-8"))
    verdicts = []
    for stage in dict.fromkeys((*before, *after)):
        old, now = before.get(stage, {}), after.get(stage, {})
        verdict, metrics = Verdict(stage), list[str]()
        for out in sorted({*old, *now}):
            files = [file for file in sorted({*tracked, *changed}) if _lies_in(file, out)]
            metrics += filter(_is_metric, files)
            verdict.other += [f for f in files if f in changed and not _is_metric(f)]
            if not files and old.get(out) != now.get(out):
                verdict.other.append(out)
        verdict.files = [file for file in metrics if file in changed]
        if verdict.files:
            _judge(verdict, clone, metrics, seeds)
        verdicts.append(verdict)
    return verdicts


def _judge(verdict: Verdict, clone: Path, metrics: Iterable[str], seeds: SeedValues) -> None:
    """Count every number of a stage, of files with the same bytes too."""
    rows: list[Sequence[float | None]] = []
    for file in metrics:
        own = seeds.numbers.get(file, {})
        rows += own.values()
        found = compare(_tree(_committed(clone, file)), _tree(_read(clone / file)), own)
        verdict.compared += found.compared
        verdict.outside += [(file, difference) for difference in found.outside]
        verdict.broken += [(file, difference) for difference in found.broken]
    verdict.limit = allowed_share(rows)


def _is_metric(file: str) -> bool:
    return file.endswith(".json") and _lies_in(file, str(METRICS))


def _lies_in(file: str, out: str) -> bool:
    return bool(file) and Path(file).is_relative_to(out)


def _digests(lock: str) -> Digests:
    stages = (YAML(typ="safe").load(lock) or {}).get("stages", {})
    return {
        name: {out["path"]: out["md5"] for out in stage.get("outs", [])}
        for name, stage in stages.items()
    }


def _committed(clone: Path, file: str) -> str:
    """A file as it is committed; nothing of one that is not."""
    done = subprocess.run(["git", "show", f"HEAD:{file}"], cwd=clone, capture_output=True)
    return done.stdout.decode("utf-8") if done.returncode == 0 else ""


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _tree(text: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(text or "{}")
    return tree


def _said(value: object) -> str:
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


if __name__ == "__main__":
    run(main)
