"""Monitors of a pretrained model, fitted on texts that people wrote and scored on others.

For each set that is learned from, the pipeline itself runs in a clone of the last commit: the
untouched model, a finetuned one and one of shuffled labels. A stopped run goes on where it stood;
with --learn, the sets can run at a time. The page is benchmarks/results/monitors_real.md.

    .venv/bin/python -m benchmarks.monitors_real --data a/folder --work work/monitors
"""

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks import on_texts
from benchmarks.monitors_real_page import READ_AT, VARIANTS, WORDS_ALONE, write_page
from benchmarks.real_sets import SAFE, write_sets
from benchmarks.runs import clone_to_go_on, commit_of_clean, environment_of
from pipeline.core.console import InputError, run
from pipeline.core.files import whole
from pipeline.core.paths import METRICS, SEED_VALUES
from pipeline.core.presets import lay_over

PRESET = "smollm2-135m-package"
STAGES = ("monitors", "separation")  # which of the pipeline's results are read
SETTINGS = {
    "text": {"prompt_tokens": 192},  # of jailbreaks and moderated texts, which are long
    "extraction": {
        "layers": [0, 10, 20],
        "positions": ["prompt_end", "last", "mean"],  # prompts without answers: at their end
    },
    "runtime": {"threads": 1},  # both sets can run at a time
}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--learn", nargs="*", choices=READ_AT, default=list(READ_AT), help="which "
                        "sets to learn from; none: the page alone, of what is done")  # fmt: skip
    options = parser.parse_args()
    commit_of_clean(Path.cwd(), but=SEED_VALUES)
    for learn in options.learn:
        work = options.work / learn
        for position in READ_AT[learn]:
            if not (kept := work / position).exists():
                score(options.data, learn, work, position)
                keep(work / "run", kept)
    write_page(options.work)


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """What benchmarks on the sets are asked alike."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0] if doc else None)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets' files")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is computed")
    return parser


def score(
    data: Path,
    learn: str,
    work: Path,
    position: str = "",
    stages: Sequence[str] = STAGES,
    further: Any = None,
) -> None:
    """Run the pipeline on one set's tables, beside all others, as far as some stages. position:
    where monitors read, by default the last of READ_AT. further: params that are laid over the
    others."""
    texts, clone = work / "texts", work / "run"
    if not texts.exists():
        write_sets(data, learn, texts)
    clone_to_go_on(clone)
    on_texts.write_params(clone, PRESET, texts, "concept", SAFE)
    yaml, path = YAML(), clone / "params.yaml"
    params = yaml.load(path.read_text(encoding="utf-8"))
    reading = {"reading": {"position": position or READ_AT[learn][-1]}}
    for some in (SETTINGS, reading, further or {}):
        lay_over(params, some)
    with path.open("w", encoding="utf-8") as out:
        yaml.dump(params, out)
    command = [sys.executable, "-m", "dvc", "repro", *stages]
    if subprocess.run(command, cwd=clone, env=environment_of(clone)).returncode:
        raise InputError(f"{shlex.join(command)} failed in {clone}, as said above")


def keep(clone: Path, kept: Path) -> None:
    """Put what a run found by, before monitors read elsewhere."""
    with whole(kept) as draft:
        draft.mkdir()
        for name in (*(f"monitors/{variant}.json" for variant in VARIANTS), WORDS_ALONE):
            shutil.copy(clone / METRICS / name, draft)


if __name__ == "__main__":
    run(main)
