"""Monitors of a pretrained model, fitted on texts that people wrote and scored on others.

For each set that is learned from, the pipeline itself runs in a clone of the last commit: the
untouched model, a finetuned one and one of shuffled labels. A stopped run goes on where it stood;
with --learn, the sets can run at a time. The page is benchmarks/results/monitors_real.md.

    .venv/bin/python -m benchmarks.monitors_real --data a/folder --work work/monitors
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks import on_texts
from benchmarks.real_sets import SAFE, write_sets
from benchmarks.runs import clone_to_go_on, commit_of, commit_of_clean, environment_of
from pipeline.core.concepts import spoken
from pipeline.core.console import InputError, run
from pipeline.core.files import read_json, whole
from pipeline.core.paths import EXAMPLES, METRICS, SEED_VALUES
from pipeline.core.presets import lay_over
from pipeline.core.records import HEADLINE, Example, read_records
from pipeline.reporting.comparison import Marks
from pipeline.reporting.markdown import drawn, said
from pipeline.reporting.monitor_figures import of_matrix
from pipeline.reporting.monitor_matrix import (
    ALONE,
    AUROC,
    Cell,
    matrix_cells,
    measures_of,
    rows_by_set,
)
from pipeline.reporting.picture_files import write_figures
from pipeline.reporting.style import style

LEARNED = ("beavertails", "refusal")
PRESET = "smollm2-135m-package"
STAGES = ("monitors", "separation")  # which of the pipeline's results are read
BASE, TUNED, CONTROL = VARIANTS = ("base", "true_negatives", "shuffled")
PAGE = Path("benchmarks/results/monitors_real.md")
PICTURES = PAGE.parent / "pictures"
SETTINGS = {
    "text": {"prompt_tokens": 192},  # of jailbreaks and moderated texts, which are long
    "extraction": {
        "layers": [0, 10, 20],
        "positions": ["prompt_end", "last", "mean"],  # prompts without answers: at their end
    },
    "runtime": {"threads": 1},  # both sets can run at a time
}
# Nobody answered a text of this set, so that every monitor is scored on all prompts.
OF_SET: dict[str, Any] = {"refusal": {"reading": {"position": "prompt_end"}}}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--learn", nargs="*", choices=LEARNED, default=LEARNED, help="sets to "
                        "learn from; none: the page alone, of what is done")  # fmt: skip
    options = parser.parse_args()
    commit_of_clean(Path.cwd(), but=SEED_VALUES)
    for learn in options.learn:
        score(options.data, learn, options.work / learn)
    write_page(options.work)


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """What benchmarks on the sets are asked alike."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0] if doc else None)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets' files")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is computed")
    return parser


def score(
    data: Path, learn: str, work: Path, stages: Sequence[str] = STAGES, further: Any = None
) -> None:
    """Run the pipeline on one set's tables, beside all others, as far as the monitors' metrics, or
    as other `stages`. further: params that are laid over the others."""
    texts, clone = work / "texts", work / "run"
    if not texts.exists():
        write_sets(data, learn, texts)
    clone_to_go_on(clone)
    on_texts.write_params(clone, PRESET, texts, "concept", SAFE)
    yaml, path = YAML(), clone / "params.yaml"
    params = yaml.load(path.read_text(encoding="utf-8"))
    for some in (SETTINGS, OF_SET.get(learn, {}), further or {}):
        lay_over(params, some)
    with path.open("w", encoding="utf-8") as out:
        yaml.dump(params, out)
    command = [sys.executable, "-m", "dvc", "repro", *stages]
    if subprocess.run(command, cwd=clone, env=environment_of(clone)).returncode:
        raise InputError(f"{shlex.join(command)} failed in {clone}, as said above")


def write_page(work: Path) -> None:
    """The page of the runs that are done."""
    done = {
        learn: work / learn / "run"
        for learn in LEARNED
        if (work / learn / "run" / METRICS / "monitors" / f"{CONTROL}.json").exists()
    }
    parts = [
        "# Monitors on texts that people wrote\n",
        f"SmolLM2-135M, finetuned (`{TUNED}`), with shuffled labels (`{CONTROL}`), and untouched "
        "(`base`). Monitors are fitted on one set's training texts and scored on its test texts "
        "and on other sets, which nothing was learned from. In brackets: 95 % over texts, of one "
        "seed. Made by `python -m benchmarks.monitors_real`, which says how.\n",
        "BeaverTails' labels are of answers: a prompt that was answered safely counts as safe, "
        "and monitors that are read at its end learn that. Of sets that nobody answered only "
        "prompts are read, at their end. `tpr_for_` and `fpr_for_` are at thresholds that were to "
        "keep to a rate of false alarms on the learned set's validation texts.\n",
    ]
    for learn, folder in done.items():
        monitors, words = metrics_of(folder)
        parts += [
            f"## Learned from {learn}\n",
            f"At commit {commit_of(folder)}. {counted(folder)}\n",
        ]
        parts += draw(learn, monitors, words)
        parts += tables(list(matrix_cells(monitors, words, monitors[BASE]["position"])))
    with whole(PAGE) as draft:
        draft.write_text("\n".join(parts), encoding="utf-8")


def counted(folder: Path) -> str:
    """How many texts of each kind a run learned from, and set thresholds on."""
    examples = read_records(folder / EXAMPLES, Example)
    parts = []
    for split in ("train", "validation"):
        safe = [example.concept in SAFE for example in examples if example.split == split]
        parts.append(f"{len(safe) - sum(safe)} harmful and {sum(safe)} safe {spoken(split)} texts")
    return f"It has {' and '.join(parts)}."


def draw(learn: str, monitors: Mapping[str, Any], words: Mapping[str, Any]) -> list[str]:
    """The matrix of a run as a picture; the page's lines that show it."""
    with style():
        drawn_of = of_matrix(monitors, words, (BASE, TUNED), monitors[BASE]["position"])
        pictures = {f"monitors_{learn}_{name}": picture for name, picture in drawn_of.items()}
        write_figures(PICTURES, pictures)
    where = PICTURES.relative_to(PAGE.parent)
    return [f"![{picture.alt}]({where}/light/{name}.svg)\n" for name, picture in pictures.items()]


def metrics_of(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a run's monitors of every variant measured, and what words alone did."""
    monitors = {
        name: read_json(folder / METRICS / "monitors" / f"{name}.json") for name in VARIANTS
    }
    return monitors, read_json(folder / METRICS / "text_only.json")


def tables(cells: Sequence[Cell]) -> list[str]:
    """The headline monitor by set and measure; then every monitor's AUROC, before and after."""
    rows = rows_by_set(cells, HEADLINE, VARIANTS)
    parts = []
    for measure in measures_of(rows):
        header = ["scored on", "read at", BASE, TUNED, "difference", CONTROL, *ALONE]
        body = []
        for row in rows:
            own = {name: cell for (of, name), cell in row.cells.items() if of == measure}
            values = {name: told(cell.marks) for name, cell in own.items()}
            apart = told(own[TUNED].change, "+") if TUNED in own else ""
            before, after = ([values.get(name, "") for name in some]
                             for some in ((BASE, TUNED), (CONTROL, *ALONE)))  # fmt: skip
            body.append([row.scored, row.read_at, *before, apart, *after])
        parts += [f"### {HEADLINE}, {measure}\n", drawn(header, body), ""]
    kinds = dict.fromkeys(cell.monitor for cell in cells if cell.monitor not in ALONE)
    every = {
        (cell.scored, cell.read_at, cell.monitor, cell.variant): cell.marks["value"]
        for cell in cells
        if cell.measure == AUROC
    }
    body = [
        [row.scored, row.read_at,
         *(" → ".join(f"{every[key]:.3f}" for variant in (BASE, TUNED)
                      if (key := (row.scored, row.read_at, kind, variant)) in every)
           for kind in kinds)]
        for row in rows
    ]  # fmt: skip
    return [*parts, f"### {AUROC} of every monitor, `{BASE}` → `{TUNED}`\n",
            drawn(["scored on", "read at", *kinds], body), ""]  # fmt: skip


def told(marks: Marks, sign: str = "") -> str:
    """A value with its interval, where it has one; a difference, which has a sign, only so."""
    if "low" in marks:
        return said(marks, sign, band=False)
    return f"{marks['value']:.3f}" if marks and not sign else ""


if __name__ == "__main__":
    run(main)
