"""The page benchmarks/results/monitors_real.md, made of the runs of benchmarks/monitors_real.py."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.real_corpora import groups_of
from benchmarks.real_sets import SAFE
from benchmarks.runs import commit_of
from pipeline.core.concepts import spoken
from pipeline.core.files import read_json, whole
from pipeline.core.paths import EXAMPLES, SHIFTED
from pipeline.core.records import HEADLINE, Example, read_records
from pipeline.reporting.comparison import Marks, corrected, is_clear
from pipeline.reporting.markdown import drawn, said
from pipeline.reporting.monitor_figures import of_matrix
from pipeline.reporting.monitor_matrix import (
    ALONE,
    AUROC,
    Cell,
    SetRow,
    matrix_cells,
    measures_of,
    rows_by_set,
    write_matrix,
)
from pipeline.reporting.picture_files import write_figures
from pipeline.reporting.short_headline import OF_RECALL
from pipeline.reporting.style import style

BASE, TUNED, CONTROL = VARIANTS = ("base", "true_negatives", "shuffled")
PAGE = Path("benchmarks/results/monitors_real.md")
PICTURES = PAGE.parent / "pictures"
CELLS = PAGE.with_suffix("")  # every number of the page's tables by set, as tables
WORDS_ALONE = "text_only.json"
# Where monitors read, by the set that is learned from. Nobody answered a text of `refusal`, nor of
# the sets that are only scored: at prompts' ends every kind of monitor is scored on all of them.
# Other benchmarks go on from the last one.
READ_AT = {"beavertails": ("prompt_end", "mean"), "refusal": ("prompt_end",)}


def write_page(work: Path) -> None:
    """The page of the runs that are done, and all their cells as tables beside it."""
    done = [
        (learn, position)
        for learn, positions in READ_AT.items()
        for position in positions
        if (work / learn / position).exists()
    ]
    parts = [
        "# Monitors on texts that people wrote\n",
        f"SmolLM2-135M, finetuned (`{TUNED}`), with shuffled labels (`{CONTROL}`), and untouched "
        "(`base`). Monitors are fitted on one set's training texts and scored on its test texts "
        "and on other sets, which nothing was learned from. In brackets: 95 % over texts, of one "
        "seed. Made by `python -m benchmarks.monitors_real`, which says how; all numbers by set, "
        f"with their intervals and differences, are in [{CELLS.name}]({CELLS.name}).\n",
        "BeaverTails' labels are of answers: a prompt that was answered safely counts as safe, "
        "and monitors that are read at its end learn that. Of sets that nobody answered only "
        "prompts are read, at their end. Kinds whose names end in `pooled` read all tokens that "
        "have been seen where others read, and so does the judge of words behind another monitor: "
        "at `prompt_end` those of the prompt, at `mean` of the answer, too. `tpr_for_` "
        "and `fpr_for_` are at thresholds that were to keep to a rate of false alarms on the "
        "learned set's validation texts. Of fewer than 100 safe ones, 1 % allows none, so that the "
        "rate of its own test texts is what such a threshold keeps to; intervals and bold "
        "differences take it as given, and are each judged by itself.\n",
    ]
    for learn, position in done:
        monitors, words = metrics_of(work / learn / position)
        cells = list(matrix_cells(monitors, words, position))
        write_matrix(CELLS / f"{learn}_{position}.csv", cells)
        parts += [
            f"## Learned from {learn}, read at `{position}`\n",
            f"At commit {commit_of(work / learn / 'run')}. {counted(work / learn / 'run')}",
            *draw(learn, position, monitors, words),
            *in_short(cells),
            *tables(cells),
            *on_test_texts(monitors),
        ]
    with whole(PAGE) as draft:
        draft.write_text("\n".join(parts), encoding="utf-8")


def counted(folder: Path) -> str:
    """How many texts of each kind every set of a run has, and how many test texts are nearly one
    that was learned from."""
    own = read_records(folder / EXAMPLES, Example)
    counts: dict[str, list[int]] = {}
    for text in (*own, *read_records(folder / SHIFTED, Example)):
        counts.setdefault(text.split, [0, 0])[text.concept in SAFE] += 1
    groups: dict[str, list[int]] = {}
    for text, group in zip(own, groups_of([text.prompt for text in own]), strict=True):
        groups.setdefault(text.split, []).append(group)
    near = int(np.isin(groups["test"], groups["train"]).sum())
    rows = [[split, str(harmful), str(safe)] for split, (harmful, safe) in counts.items()]
    return (
        f"{near} of its {sum(counts['test'])} test texts have a prompt that is nearly a training "
        f"text's.\n\n{drawn(['texts', 'harmful', 'safe'], rows)}\n"
    )


def draw(
    learn: str, position: str, monitors: Mapping[str, Any], words: Mapping[str, Any]
) -> list[str]:
    """The matrix of a run as a picture; the page's lines that show it."""
    with style():
        drawn_of = of_matrix(monitors, words, (BASE, TUNED), position)
        pictures = {
            f"monitors_{learn}_{position}_{name}": picture for name, picture in drawn_of.items()
        }
        write_figures(PICTURES, pictures)
    where = PICTURES.relative_to(PAGE.parent)
    return [f"![{picture.alt}]({where}/light/{name}.svg)\n" for name, picture in pictures.items()]


def metrics_of(kept: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a run's monitors of every variant measured, and what words alone did."""
    monitors = {name: read_json(kept / f"{name}.json") for name in VARIANTS}
    return monitors, read_json(kept / WORDS_ALONE)


def in_short(cells: Sequence[Cell]) -> Iterator[str]:
    """How many kinds rank every set better, and how many worse, than those of the untouched model,
    and the best kind of every variant. All sets and kinds are judged together."""
    found = [cell for cell in cells if cell.measure == AUROC and cell.monitor not in ALONE]
    best: dict[tuple[str, str], dict[str, float]] = {}
    for cell in found:
        own = best.setdefault((cell.scored, cell.read_at), {})
        own[cell.variant] = max(own.get(cell.variant, 0.0), cell.marks["value"])
    clear: dict[tuple[str, ...], Marks] = {}
    for variant in (TUNED, CONTROL):
        family = {(variant, cell.scored, cell.read_at, cell.monitor): cell.change
                  for cell in found if cell.variant == variant and cell.change}  # fmt: skip
        clear |= {key: marks for key, marks in corrected(family).items() if is_clear(marks)}

    def counts(variant: str, where: tuple[str, str]) -> str:
        rises = [marks["value"] > 0 for key, marks in clear.items() if key[:3] == (variant, *where)]
        return f"{sum(rises)} and {len(rises) - sum(rises)}"

    body = [
        [*where, str(sum(cell.variant == BASE and (cell.scored, cell.read_at) == where
                         for cell in found)),
         counts(TUNED, where), counts(CONTROL, where), *(f"{own[v]:.3f}" for v in VARIANTS)]
        for where, own in best.items()
    ]  # fmt: skip
    header = ["scored on", "read at", "kinds", f"better and worse, {TUNED}",
              f"better and worse, {CONTROL}", *(f"best kind of {v}" for v in VARIANTS)]  # fmt: skip
    yield "### In short: AUROC\n"
    yield (
        "Kinds that rank a set clearly better, and clearly worse, than the same kind of `base`, "
        "after Holm's correction for all sets and kinds of the variant. The best kind is that of "
        "the very texts that are shown.\n"
    )
    yield drawn(header, body) + "\n"


def tables(cells: Sequence[Cell]) -> Iterator[str]:
    """The headline monitor by set and measure; then every kind, before and after."""
    rows = rows_by_set(cells, HEADLINE, VARIANTS)
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
        yield f"### {HEADLINE}, {measure}\n"
        yield drawn(header, body) + "\n"
    for measure in (AUROC, OF_RECALL):
        yield f"### {measure} of every monitor, `{BASE}` → `{TUNED}`\n"
        yield of_every_kind(cells, measure, rows) + "\n"


def of_every_kind(cells: Sequence[Cell], measure: str, rows: Sequence[SetRow]) -> str:
    """A row a set, a column a kind: before and after, or once for what reads no state."""
    values = {
        (cell.scored, cell.read_at, cell.monitor, cell.variant): f"{cell.marks['value']:.3f}"
        for cell in cells
        if cell.measure == measure
    }
    kinds = list(dict.fromkeys(cell.monitor for cell in cells))
    body = []
    for row in rows:
        where = (row.scored, row.read_at)
        shown = [
            " → ".join(
                values[key] for v in (BASE, TUNED, "") if (key := (*where, kind, v)) in values
            )
            for kind in kinds
        ]
        if any(shown):
            body.append([*where, *shown])
    return drawn(["scored on", "read at", *kinds], body)


def on_test_texts(monitors: Mapping[str, Any]) -> Iterator[str]:
    """What every kind measures on the learned set's test texts, and a cascade of the headline
    monitor and words: where the sets differ in nothing."""
    measures = ("average_precision", "macro_f1", "calibration_error")
    header = ["kind", *(f"{spoken(name)}, {v}" for name in measures for v in (BASE, TUNED))]
    body = [
        [kind, *(said(monitors[v]["harm"][kind]["test"].get(name, {}), band=False)
                 for name in measures for v in (BASE, TUNED))]
        for kind in monitors[BASE]["harm"]
    ]  # fmt: skip
    yield "### Every monitor on test texts\n"
    yield drawn(header, body) + "\n"
    shares = monitors[BASE].get("cascade", {}).get("test", {})
    numbers = [name for name in next(iter(shares.values()), {}) if name != AUROC]
    header = ["to be sent", *(f"{name}, {v}" for name in numbers for v in (BASE, TUNED))]
    body = [
        [spoken(share), *(said(monitors[v]["cascade"]["test"][share][name], band=False)
                          for name in numbers for v in (BASE, TUNED))]
        for share in sorted(shares, key=lambda name: float(name.partition("_")[0]))
    ]  # fmt: skip
    if body:
        yield f"### A judge of words behind `{HEADLINE}`, on test texts\n"
        yield drawn(header, body) + "\n"


def told(marks: Marks, sign: str = "") -> str:
    """A value with its interval, where it has one; a difference, which has a sign, only so."""
    if "low" in marks:
        return said(marks, sign, band=False)
    return f"{marks['value']:.3f}" if marks and not sign else ""
