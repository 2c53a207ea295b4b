"""Trained on one corpus, scored on others: every monitor of every variant on every set of texts.

All of it stands in the metrics of monitors and of words alone; here it is one table, whose rows
name the set, what is read of it, the monitor, the variant and the measure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.files import whole
from pipeline.reporting.comparison import Marks

MetricsTree = Mapping[str, Any]

AUROC, RECALL_AT = "auroc", "tpr_at_"  # the measure, and how those at fixed false alarms begin
WORDS = "words alone"  # the monitor that reads no state, and is the same for every variant
AT_PROMPT = "prompt_end"
OF_EXAMPLES = "examples_"  # how groups of labelled texts begin among those read at a prompt's end
MATRIX_COLUMNS = ("set", "read_at", "monitor", "variant", "measure", "value", "low", "high",
           "difference", "difference_low", "difference_high", "p")  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One measure of one monitor: `scored` is the set of texts, `read_at` the position of the state
    that is read; `variant` is empty for words alone; `change` is the paired difference from the
    untouched model's, nothing of that model itself and of words."""

    scored: str
    read_at: str
    monitor: str
    variant: str
    measure: str
    marks: Marks
    change: Marks


def matrix_cells(
    monitors: Mapping[str, MetricsTree], text_only: MetricsTree, position: str
) -> Iterator[Cell]:
    """Every AUROC and every recall at fixed false alarms that the texts define: of harm or, where
    no concept is harmless, of concepts. A set whose texts nobody answered is read at its prompts'
    end alone. monitors: each variant's metrics; position: the one that is read.
    """
    for variant, tree in monitors.items():
        question = _question(tree)
        changes = tree.get("difference", {})
        for kind, sets in tree[question].items():
            own = _at(changes, question, kind)
            yield from _cells(sets, own, position, kind, variant)
        if position != AT_PROMPT:
            for kind, sets in tree.get("shift", {}).items():
                own = _at(changes, "shift", kind)
                yield from _cells(sets, own, AT_PROMPT, kind, variant)
    words = text_only[_question(text_only)]
    if position != AT_PROMPT:
        yield from _cells(words["whole"], {}, position, WORDS, "")
    yield from _cells(words["prompt"], {}, AT_PROMPT, WORDS, "")


@dataclass(frozen=True)
class SetRow:
    """A set of texts and where it is read; its cells by measure and variant, "" for words alone."""

    scored: str
    read_at: str
    cells: Mapping[tuple[str, str], Cell]


def rows_by_set(cells: Iterable[Cell], monitor: str, variants: Sequence[str]) -> list[SetRow]:
    """A monitor's cells of some variants, a row a set, beside those of words alone; in the order in
    which sets come first."""
    rows: dict[tuple[str, str], dict[tuple[str, str], Cell]] = {}
    for cell in cells:
        own = rows.setdefault((cell.scored, cell.read_at), {})
        if cell.monitor == WORDS or (cell.monitor == monitor and cell.variant in variants):
            own[cell.measure, cell.variant] = cell
    return [
        SetRow(*where, own) for where, own in rows.items() if any(variant for _, variant in own)
    ]


def measures_of(rows: Iterable[SetRow]) -> list[str]:
    """The measures that any row has: the AUROC first, then recalls by name."""
    found = {measure for row in rows for measure, _ in row.cells}
    return sorted(found, key=lambda measure: (measure != AUROC, measure))


def write_matrix(path: Path, cells: Iterable[Cell]) -> None:
    """A row a cell, under MATRIX_COLUMNS; what has no interval or no difference is empty there."""
    import csv

    with whole(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(MATRIX_COLUMNS)
        for cell in cells:
            numbers = (
                *(cell.marks.get(name, "") for name in ("value", "low", "high")),
                *(cell.change.get(name, "") for name in ("value", "low", "high", "p")),
            )
            table.writerow(
                (cell.scored, cell.read_at, cell.monitor, cell.variant, cell.measure, *numbers)
            )


def _question(tree: MetricsTree) -> str:
    return "harm" if "harm" in tree else "concept"


def _cells(
    sets: MetricsTree, changes: MetricsTree, read_at: str, kind: str, variant: str
) -> Iterator[Cell]:
    for name, measures in sets.items():
        if not isinstance(measures, Mapping):
            continue  # a threshold
        for measure, marks in measures.items():
            if measure == AUROC or measure.startswith(RECALL_AT):
                change = _at(changes, name, measure)
                scored = name.removeprefix(OF_EXAMPLES)
                yield Cell(scored, read_at, kind, variant, measure, marks, change)


def _at(tree: MetricsTree, *path: str) -> MetricsTree:
    for key in path:
        tree = tree.get(key, {})
    return tree
