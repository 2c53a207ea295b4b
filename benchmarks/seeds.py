"""Every number of the run for every seed of `seeds` in params.yaml: what other draws of it give.

Each seed runs in a clone of the last commit with a DVC cache of its own. A finished seed's metrics
are kept, with the commit that they belong to, so that a run that was cut short goes on from there.

    .venv/bin/python -m benchmarks.seeds --work work/seeds
"""

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from benchmarks.comparing import is_number
from benchmarks.runs import clone_without_results, commit_of_clean, repro, set_seed
from pipeline.core.console import run
from pipeline.core.files import read_json, whole
from pipeline.core.params import load_params
from pipeline.core.paths import METRICS, SEED_VALUES
from pipeline.reporting.seed_band import SeedNumbers, numbers_of, params_digest

Metrics = Mapping[str, Mapping[str, Any]]  # trees by file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps seeds")
    parser.add_argument("--workers", type=int, default=2, help="seeds at a time, one thread each")
    options = parser.parse_args()
    params, commit = load_params(), commit_of_clean(Path.cwd(), but=SEED_VALUES)
    with ThreadPoolExecutor(options.workers) as pool:
        runs = list(pool.map(partial(_run_seed, options.work, commit), params.seeds))
    header = {"commit": commit, "params": params_digest(dict(params)), "seeds": [*params.seeds]}
    write_seed_values(SEED_VALUES, header, by_seed(runs))
    print(f"written: {SEED_VALUES}; `make repro` and `make docs` show it")


def by_seed(runs: Sequence[Metrics]) -> dict[str, SeedNumbers]:
    """Every number's values in the runs' order, by file and key path, both sorted; None where a
    run has no such number."""
    files = sorted({file for one in runs for file in one})
    found: dict[str, SeedNumbers] = {}
    for file in files:
        own = [{n: v for n, v in numbers_of(one.get(file, {})) if is_number(v)} for one in runs]
        found[file] = {
            number: [values.get(number) for values in own]
            for number in sorted({number for values in own for number in values})
        }
    return found


def write_seed_values(
    path: Path, header: Mapping[str, Any], numbers: Mapping[str, SeedNumbers]
) -> None:
    """JSON with a number's values in each line. Values have six digits, as metrics do."""
    files = [
        f"{json.dumps(file)}: {{\n"
        + ",\n".join(f"{json.dumps(number)}: {json.dumps(row)}" for number, row in own.items())
        + "\n}"
        for file, own in numbers.items()
    ]
    head = json.dumps(header).removesuffix("}")
    with whole(path) as draft:
        text = head + ',\n"numbers": {\n' + ",\n".join(files) + "\n}}\n"
        draft.write_text(text, encoding="utf-8", newline="\n")


def _run_seed(work: Path, commit: str, seed: int) -> Metrics:
    """The metrics of one seed, run now or kept from before."""
    kept, of = work / str(seed), Path("commit.txt")
    if not kept.is_dir() or (kept / of).read_text(encoding="utf-8") != commit:
        work.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=work, prefix=f"{seed}-") as folder, whole(kept) as draft:
            clone = clone_without_results(Path(folder) / "clone")
            set_seed(clone, seed)
            repro(clone, _measuring(clone))
            shutil.copytree(clone / METRICS, draft / METRICS)
            (draft / of).write_text(commit, encoding="utf-8")
        print(f"seed {seed}: finished", flush=True)
    paths = sorted((kept / METRICS).rglob("*.json"))
    return {path.relative_to(kept).as_posix(): read_json(path) for path in paths}


def _measuring(clone: Path) -> list[str]:
    """The stages that write metrics."""
    stages = YAML(typ="safe").load((clone / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    outs = {
        name: [
            out if isinstance(out, str) else next(iter(out))
            for kind in ("outs", "metrics", "plots")
            for out in stage.get("do", stage).get(kind, [])
        ]
        for name, stage in stages.items()
    }
    return [
        name for name, own in outs.items() if any(Path(out).is_relative_to(METRICS) for out in own)
    ]


if __name__ == "__main__":
    run(main)
