"""The matrix of monitors by sets of texts: every number stands once, where it belongs."""

import csv
from pathlib import Path

import pytest

from pipeline.reporting.monitor_matrix import (
    ALONE,
    CHARACTERS,
    MATRIX_COLUMNS,
    WORDS,
    Cell,
    matrix_cells,
    measures_of,
    rows_by_set,
    write_matrix,
)
from tests.support.matrix import LONG, REQUESTS, SETS, monitors, words

MEASURES = ["auroc", "fpr_for_low", "tpr_at_1_percent", "tpr_for_low"]
VARIANTS = {"base": monitors(0.5), "tuned": monitors(0.875, base=0.5)}


def cells(position: str = "last") -> list[Cell]:
    return list(matrix_cells(VARIANTS, words(), position))


def key(cell: Cell) -> tuple[str, ...]:
    return cell.scored, cell.read_at, cell.monitor, cell.variant, cell.measure


def test_every_monitor_and_variant_is_on_every_set_once() -> None:
    found = [key(cell) for cell in cells()]
    assert len(set(found)) == len(found)
    for variant in VARIANTS:
        for measure in MEASURES:
            for name in SETS:
                for kind in ("knn", "logistic"):
                    assert (name, "last", kind, variant, measure) in found
            for name in (*SETS, "shifted/prompts", *REQUESTS):
                assert (name, "prompt_end", "logistic", variant, measure) in found
    assert not any(measure == "accuracy" for *_, measure in found)
    assert not any(name == "shifted/prompts" and at == "last" for name, at, *_ in found)


def test_words_stand_on_the_same_sets() -> None:
    for alone in (WORDS, CHARACTERS):
        own = {(c.scored, c.read_at) for c in cells() if c.monitor == alone}
        assert own == {(c.scored, c.read_at) for c in cells() if c.monitor not in ALONE}
        assert {c.variant for c in cells() if c.monitor == alone} == {""}


def test_what_is_read_at_the_prompts_end_anyway_stands_once() -> None:
    found = [key(cell) for cell in cells("prompt_end")]
    assert len(set(found)) == len(found)
    assert {at for _, at, *_ in found} == {"prompt_end"}


def test_only_a_finetuned_model_differs_from_the_untouched_one() -> None:
    for cell in cells():
        has_change = cell.variant == "tuned" and cell.read_at == "last"
        assert bool(cell.change) == (has_change and cell.measure == "auroc")
        if cell.change:
            assert cell.change["value"] == 0.375


@pytest.mark.parametrize("harmless", [True, False])
def test_without_a_harmless_concept_concepts_are_what_is_told(harmless: bool) -> None:
    question = "harm" if harmless else "concept"
    made = {"base": monitors(0.5, question=question)}
    found = list(matrix_cells(made, words(question), "last"))
    assert {c.scored for c in found} >= {*SETS}
    assert any(c.scored in REQUESTS for c in found) == harmless


def test_rows_hold_one_monitor_beside_words() -> None:
    rows = rows_by_set(cells(), "logistic", ["base", "tuned"])
    assert [(r.scored, r.read_at) for r in rows][:3] == [(name, "last") for name in SETS]
    assert measures_of(rows) == MEASURES
    first = rows[0].cells
    assert first["auroc", "tuned"].marks["value"] == 0.875
    assert first["auroc", WORDS].marks["value"] == 0.75
    assert rows_by_set(cells(), "logistic", ["base"])[0].cells.keys() == {
        (measure, name) for measure in MEASURES for name in ("base", *ALONE)
    }
    assert rows_by_set(cells(), "none", ["base"]) == [], "words alone make no row"


def test_the_table_has_a_row_a_cell_and_reads_back(tmp_path: Path) -> None:
    write_matrix(tmp_path / "matrix.csv", cells())
    with (tmp_path / "matrix.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == MATRIX_COLUMNS
    assert [tuple(row[name] for name in MATRIX_COLUMNS[:5]) for row in rows] == [*map(key, cells())]
    tuned = next(r for r in rows if r["variant"] == "tuned" and r["set"] == LONG)
    assert (tuned["value"], tuned["difference"], tuned["p"]) == ("0.875", "0.375", "0.5")
    told = next(r for r in rows if r["measure"] == "tpr_at_1_percent")
    assert (told["low"], told["difference"]) == ("", ""), "nothing stands for what is not known"
