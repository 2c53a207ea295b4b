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

AUROC = "auroc"
# How further measures begin: recall at fixed false alarms; recall, and the false alarms that
# result, at a threshold that validation texts set for a rate.
OF_ALARMS = ("tpr_at_", "tpr_for_", "fpr_for_")
# Monitors that read no state, and are the same for every variant: of words, and of characters.
WORDS, CHARACTERS = "words alone", "characters alone"
ALONE = {WORDS: "", CHARACTERS: "_characters"}  # and how their metrics' names end
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
    """Every AUROC, recall at fixed false alarms, and what a threshold set on validation texts
    gives, as far as the texts define them: of harm or, where no concept is harmless, of concepts.
    A set whose texts nobody answered is read at its prompts' end alone. monitors: each variant's
    metrics; position: the one that is read.
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
    for monitor, ending in ALONE.items():
        if position != AT_PROMPT:
            yield from _cells(words[f"whole{ending}"], {}, position, monitor, "")
        yield from _cells(words[f"prompt{ending}"], {}, AT_PROMPT, monitor, "")


@dataclass(frozen=True)
class SetRow:
    """A set of texts and where it is read; its cells by measure and variant, or the name of a
    monitor of ALONE."""

    scored: str
    read_at: str
    cells: Mapping[tuple[str, str], Cell]


def rows_by_set(cells: Iterable[Cell], monitor: str, variants: Sequence[str]) -> list[SetRow]:
    """A monitor's cells of some variants, a row a set, beside those of ALONE; in the order in which
    sets come first."""
    rows: dict[tuple[str, str], dict[tuple[str, str], Cell]] = {}
    for cell in cells:
        own = rows.setdefault((cell.scored, cell.read_at), {})
        if cell.monitor in ALONE:
            own[cell.measure, cell.monitor] = cell
        elif cell.monitor == monitor and cell.variant in variants:
            own[cell.measure, cell.variant] = cell
    return [
        SetRow(*where, own)
        for where, own in rows.items()
        if any(name not in ALONE for _, name in own)
    ]


def measures_of(rows: Iterable[SetRow]) -> list[str]:
    """The measures that any row has: the AUROC first, then the others by name."""
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
            if measure == AUROC or measure.startswith(OF_ALARMS):
                change = _at(changes, name, measure)
                scored = name.removeprefix(OF_EXAMPLES)
                yield Cell(scored, read_at, kind, variant, measure, marks, change)


def _at(tree: MetricsTree, *path: str) -> MetricsTree:
    for key in path:
        tree = tree.get(key, {})
    return tree
