"""The tables of interpretations: every number in its cell, and none where none was measured."""

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import interpretation_tables as tables
from pipeline.core.params import load_params

ASKED = load_params().asking
LAYER, POSITION = f"layer_{ASKED.layer}", ASKED.positions[0]


def estimate(value: float, p: float = 0.0) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "p": p}


def shown(
    monkeypatch: pytest.MonkeyPatch, table: Callable[[], str], tree: Any
) -> dict[str, list[str]]:
    """A table's cells by their first one, where every variant's metrics are the same."""
    monkeypatch.setattr(tables, "metrics_of", lambda _: tree)
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table().splitlines()]
    return {first: cells for first, *cells in rows}


def test_a_crossing_stands_under_its_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    crossed = {"base_reader": estimate(-0.2), "base_state": estimate(0.3), "probe": estimate(0.4)}
    tree = {
        "difference": {
            LAYER: {"test": {POSITION: {"state": estimate(0.1)}}},
            "crossed": {"test": {POSITION: crossed}},
        },
        "ahead_of": {"test": {POSITION: {"base_reader": estimate(0.5)}}},
    }
    found = shown(monkeypatch, tables.table_of_crossings, tree)
    values = [cell.partition(" ")[0] for cell in found["`infonce`, test"]]
    assert values == ["**+0.100**", "**-0.200**", "**+0.300**", "**+0.400**", "**+0.500**", ""]
    assert found["`infonce`, novel"] == [""] * 6, "not measured"
    assert not any(first.startswith("`base`") for first in found)


def test_a_change_is_clear_after_correction_for_the_whole_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same change in every row: .04 each is nothing among many, and .0001 is."""
    for p, clear in ((0.04, False), (0.0001, True)):
        tree = {"difference": {LAYER: {"test": {POSITION: {"state": estimate(0.1, p)}}}}}
        cells = shown(monkeypatch, tables.table_of_crossings, tree)["`infonce`, test"]
        assert cells[0].startswith("**") == clear


def test_who_names_the_concept_and_how_far_the_model_is_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree = {
        LAYER: {"novel": {POSITION: {"state": estimate(0.2), "logit_lens": estimate(0.3)}}},
        "crossed": {"novel": {POSITION: {"nearest_text": estimate(0.4)}}},
        "ahead_of": {"novel": {POSITION: {"nearest_text": estimate(-0.2)}}},
    }
    named = shown(monkeypatch, tables.table_of_namers, tree)
    for who, value in (("state", "0.200"), ("logit_lens", "0.300"), ("nearest_text", "0.400")):
        cells = named[tables.NAMES[who]]
        assert [cell.partition(" ")[0] for cell in cells] == ["", value, "", value]
    leads = shown(monkeypatch, tables.table_of_leads, tree)
    assert leads[tables.NAMES["nearest_text"]][1].startswith("**-0.200**")
    assert leads[tables.NAMES["probe"]] == [""] * 4


def test_moves_are_told_by_how_far(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"by_100": {"target": estimate(0.6), "own": estimate(0.1)}}
    moved = {"concept": sizes, "random": {"by_100": {"target": estimate(0.2)}},
             "follows": {"by_100": estimate(0.4)}}  # fmt: skip
    found = shown(monkeypatch, tables.table_of_moves, {"moved": {POSITION: moved}})
    values = [cell.partition(" ")[0] for cell in found["`base`, 100 %"]]
    assert values == ["0.600", "0.200", "**+0.400**", "0.100"]
    assert found["`base`, 50 %"] == [""] * 4


def test_affine_reading_stands_beside_its_controls(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = {
        LAYER: {"test": {POSITION: {"state": estimate(0.2)}}},
        "crossed": {"test": {POSITION: {"affine": estimate(0.4), "affine_bias": estimate(0.1)}}},
        "recall": {"test": {POSITION: {"affine": estimate(0.5)}}},
        "affine_ahead_of": {"test": {POSITION: {"state": estimate(0.2)}}},
    }
    found = shown(monkeypatch, tables.table_of_affine, tree)
    values = {row: [c.partition(" ")[0] for c in cells] for row, cells in found.items()}
    assert values["untrained, test"] == ["0.200", "0.200", "", ""]
    assert values["a trained scale and bias, test"] == ["0.400", "0.400", "0.500", "0.500"]
    assert values["its bias alone, without the state, test"] == ["0.100", "0.100", "", ""]
    assert values["a trained scale and bias, novel"] == [""] * 4
    leads = shown(monkeypatch, tables.table_of_affine_leads, tree)
    assert leads["untrained"][0].startswith("**+0.200**")
    assert leads["untrained"][1] == ""
    assert leads["its bias alone, without the state"] == [""] * 4


def test_confidence_is_told_by_reading_and_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = {"accuracy": estimate(0.6), "mean": estimate(0.7), "gain_at_50": estimate(0.2)}
    tree = {"confidence": {"novel": {POSITION: {"state": {"closed": marks}}}}}
    found = shown(monkeypatch, tables.table_of_confidence, tree)
    values = [c.partition(" ")[0] for c in found["untrained: the likeliest name, `base`, novel"]]
    assert values == ["0.600", "0.700", "", "", "**+0.200**", ""]
    assert found["untrained: what is said, `base`, novel"] == [""] * 6
    assert not any("LoRA" in row and "true_negatives" in row for row in found), "said once"
