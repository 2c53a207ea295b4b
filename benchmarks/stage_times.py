"""What the default run costs, stage by stage: its start and its work; and what equal bits cost.

Runs the pipeline twice from nothing, in temporary clones of the last commit: as it is, and with the
machine's own kernels (LEGIBLE_KERNELS=native). A stage's start is the time in which Python loads
its module, and with it the libraries. Nothing else should run on the machine meanwhile.

    .venv/bin/python -m benchmarks.stage_times
"""

import re
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.processor import processor
from benchmarks.runs import clone_without_results, commit_of_clean, environment_of
from pipeline.core.console import InputError, run
from pipeline.core.files import Tree, read_json, write_json
from pipeline.core.paths import SEED_VALUES
from pipeline.reporting.markdown import drawn

OUT = Path("benchmarks/results/stage_times.json")
STAGE = re.compile(r"Running stage '([^'@]+)(?:@[^']*)?'")


@dataclass
class Stage:
    """runs: processes, one a variant in some stages; start, seconds: of them all, by the clock."""

    start: float = 0.0
    seconds: float = 0.0
    runs: int = 0


@dataclass
class Run:
    """A run from nothing. seconds by the clock; processor: seconds of all cores."""

    seconds: float = 0.0
    processor: float = 0.0
    stages: dict[str, Stage] = field(default_factory=dict)


def main() -> None:
    commit = commit_of_clean(Path.cwd(), but=SEED_VALUES)
    with TemporaryDirectory(prefix="stage-times-") as folder:
        clone = clone_without_results(Path(folder) / "pinned")
        pinned = timed_run(clone, {})
        again = timed_run(clone, {})
        for name, stage in pinned.stages.items():
            stage.start = stage.runs * seconds_of_start(clone, name)
        other = clone_without_results(Path(folder) / "native")
        native = timed_run(other, {"LEGIBLE_KERNELS": "native"})
    if again.stages:
        raise InputError(f"a second run ran {', '.join(again.stages)} again; nothing was written")
    cost = pinned.processor / native.processor - 1
    found: Tree = {
        "commit": commit,
        "processor": processor(),
        "run": asdict(pinned),
        "nothing_to_do_seconds": again.seconds,
        "native": {"seconds": native.seconds, "processor": native.processor},
        "cost_of_pins": cost,
    }
    write_json(OUT, found)
    print(f"{pinned.seconds:.0f} s; pins cost {cost:+.0%} of processor time")


def timed_run(clone: Path, settings: dict[str, str]) -> Run:
    """`dvc repro` in a clone. Raises InputError where it fails."""
    command = [sys.executable, "-m", "dvc", "repro"]
    environment = environment_of(clone) | {"PYTHONUNBUFFERED": "1"} | settings
    found, stage, since = Run(), "", time.monotonic()
    began, used = since, _processor_seconds()
    with subprocess.Popen(
        command, cwd=clone, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            if opened := STAGE.match(line):
                now = time.monotonic()
                if stage:
                    found.stages[stage].seconds += now - since
                stage, since = opened[1], now
                found.stages.setdefault(stage, Stage()).runs += 1
    if process.returncode:
        raise InputError(f"the run in {clone} failed, as said above; nothing was written")
    now = time.monotonic()
    if stage:
        found.stages[stage].seconds += now - since
    found.seconds, found.processor = now - began, _processor_seconds() - used
    return found


def seconds_of_start(clone: Path, stage: str) -> float:
    """The least of three: files are in memory by then."""
    command = [sys.executable, "-c", f"import stages.{stage}"]
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        subprocess.run(command, cwd=clone, env=environment_of(clone), check=True)
        seconds.append(time.monotonic() - began)
    return min(seconds)


def table_of_times() -> str:
    """The committed result, as a page shows it."""
    found = read_json(OUT)
    run, rows = found["run"], []
    for name, stage in run["stages"].items():
        work = max(0.0, stage["seconds"] - stage["start"])  # both were timed, each in its own run
        cells = (stage["runs"], *(f"{s:.1f}" for s in (stage["start"], work, stage["seconds"])))
        rows.append([f"`{name}`", *map(str, cells)])
    runs = sum(stage["runs"] for stage in run["stages"].values())
    start = sum(stage["start"] for stage in run["stages"].values())
    rows.append(
        ["all", str(runs), f"{start:.0f}", f"{run['seconds'] - start:.0f}", f"{run['seconds']:.0f}"]
    )
    summary = (
        f"From nothing {run['seconds'] / 60:.1f} minutes, with nothing to do "
        f"{found['nothing_to_do_seconds']:.1f} s, on {found['processor']}, at {found['commit']}. "
        f"Equal bits take {_changed(found['cost_of_pins'])} processor time than the machine's own "
        "kernels."
    )
    return drawn(["stage", "runs", "start, s", "work, s", "both, s"], rows) + "\n\n" + summary


def _changed(share: float) -> str:
    return f"{abs(share):.0%} {'less' if share < 0 else 'more'}"


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    run(main)
