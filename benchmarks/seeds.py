"""Every number of the run for every seed of `seeds` in params.yaml: what other draws of it give.

Each seed runs in a clone of the last commit with a DVC cache of its own. A finished seed's metrics
are kept, with the commit that they belong to, so that a run that was cut short goes on from there.

    .venv/bin/python -m benchmarks.seeds --work work/seeds

A knob that was added since changes the params, but perhaps no number. `--keep` runs nothing: it
keeps the values of every number that the present run gives as its seed gave it then, and drops the
others.
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
    parser.add_argument("--work", type=Path, default=Path("work/seeds"), help="keeps seeds")
    parser.add_argument("--workers", type=int, default=2, help="seeds at a time, one thread each")
    parser.add_argument("--keep", action="store_true", help="keep what the present run still gives")
    options = parser.parse_args()
    params = load_params()
    if options.keep:
        held = read_json(SEED_VALUES)
        header = {**held, "params": params_digest(dict(params))}
        numbers = header.pop("numbers")
        own = kept(numbers, held["seeds"].index(params.seed), read_metrics(Path()))
        write_seed_values(SEED_VALUES, header, own)
        print(f"kept {count(own)} of {count(numbers)} numbers of {held['commit']}")
        return
    commit = commit_of_clean(Path.cwd(), but=SEED_VALUES)
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


def kept(
    numbers: Mapping[str, SeedNumbers], index: int, present: Metrics
) -> dict[str, SeedNumbers]:
    """The values of numbers that the present run gives as the seed at the index gave them."""
    found: dict[str, SeedNumbers] = {}
    for file, rows in numbers.items():
        own = dict(numbers_of(present.get(file, {})))
        same = {name: row for name, row in rows.items() if name in own and own[name] == row[index]}
        if same:
            found[file] = same
    return found


def count(numbers: Mapping[str, SeedNumbers]) -> int:
    return sum(map(len, numbers.values()))


def read_metrics(folder: Path) -> Metrics:
    """Every tree of metrics below a project's folder, by its path there."""
    paths = sorted((folder / METRICS).rglob("*.json"))
    return {path.relative_to(folder).as_posix(): read_json(path) for path in paths}


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
    done, of = work / str(seed), Path("commit.txt")
    if not done.is_dir() or (done / of).read_text(encoding="utf-8") != commit:
        work.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=work, prefix=f"{seed}-") as folder, whole(done) as draft:
            clone = clone_without_results(Path(folder) / "clone")
            set_seed(clone, seed)
            repro(clone, _measuring(clone))
            shutil.copytree(clone / METRICS, draft / METRICS)
            (draft / of).write_text(commit, encoding="utf-8")
        print(f"seed {seed}: finished", flush=True)
    return read_metrics(done)


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
