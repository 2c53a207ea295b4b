"""Edits stand beside what equals them, and the page says where nothing does."""

from typing import Any

import pytest

from pipeline.reporting.edit_table import EDIT_HEADINGS, EDIT_NUMBERS, beside_rows, matches

ESTIMATE = {"value": -0.2, "low": -0.3, "high": -0.1}
OTHER = {"value": 0.1, "low": 0.0, "high": 0.2}


def tree(*parts: str, **match: Any) -> dict[str, Any]:
    """The first number of the table, of one split, and the match of a vector."""
    split, measure, _ = EDIT_NUMBERS[0]
    numbers = {part: OTHER if part == "beyond_edit" else ESTIMATE for part in parts}
    return {split: {measure: numbers}, **({"match": match} if match else {})}


CONTROL = {
    "alone": tree("change"),
    "edit": tree("change"),
    "edit.instruction": tree("change", "beyond_edit"),
    "edit.steering": tree(
        "change", "beyond_edit", edit_effect=-0.2, effect=-0.1, strength=2.0, is_reached=False
    ),
}


def test_only_edits_with_something_beside_them_have_rows() -> None:
    rows = beside_rows(CONTROL)
    assert [(row.edit, row.kind) for row in rows] == [
        ("edit", "the edit"), ("edit", "an instruction"), ("edit", "a steering vector"),
    ]  # fmt: skip
    assert all(row.changes[0] == ESTIMATE for row in rows)
    assert [row.beyond[0] for row in rows] == [None, OTHER, OTHER]
    for row in rows:
        assert len(row.changes) == len(row.beyond) == len(EDIT_HEADINGS)
        assert not any(row.changes[1:]), "what was not measured has no number"
    assert beside_rows({"alone": tree("change")}) == []
    assert beside_rows({}) == []


@pytest.mark.parametrize(
    ("match", "said"),
    [
        ((-0.2, -0.1, 2.0, False), "No strength that was tried gives a vector the effect of edit"),
        ((-0.2, -0.19, 0.5, True), "its vector -0.190 at 0.5 times the difference of means"),
        ((0.0, 0.0, 0.0, True), "has no effect on validation texts that a vector could equal"),
    ],
)
def test_a_sentence_says_whether_a_strength_reached_the_effect(
    match: tuple[float, float, float, bool], said: str
) -> None:
    keys = ("edit_effect", "effect", "strength", "is_reached")
    (sentence,) = matches({"edit.steering": {"match": dict(zip(keys, match, strict=True))}})
    assert said in sentence
    assert matches({"edit": {}}) == []
