"""Changes that are judged together: Holm's correction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reporting.comparison import corrected, corrected_rows, is_clear

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def change(p: float) -> dict[str, float]:
    return {"value": 0.2, "low": 0.1, "high": 0.3, "p": p}


def test_holm_worked_example() -> None:
    """His own procedure on .01, .04, .03 and .005: the smallest four-fold, the next three-fold."""
    family = dict(zip("abcd", map(change, (0.01, 0.04, 0.03, 0.005)), strict=True))
    found = {name: marks["p"] for name, marks in corrected(family).items()}
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    clear = [name for name, marks in corrected(family).items() if is_clear(marks)]
    assert clear == ["a", "d"], "though every interval excludes 0"


@given(P_VALUES)
def test_correction_never_helps_and_keeps_the_order(values: list[float]) -> None:
    family = {number: change(p) for number, p in enumerate(values)}
    found = [corrected(family)[number]["p"] for number in family]
    assert all(before <= after <= 1 for before, after in zip(values, found, strict=True))
    ranked = [after for _, after in sorted(zip(values, found, strict=True))]
    assert ranked == sorted(ranked)
    assert min(found) == pytest.approx(min(1, len(values) * min(values)))


def test_a_change_without_a_p_value_is_judged_by_its_interval() -> None:
    """As a number has none whose resamples say nothing."""
    bare = {"value": 0.2, "low": 0.1, "high": 0.3}
    assert is_clear(corrected({"a": bare, "b": change(0.9)})["a"])
    assert corrected({"a": {}}) == {"a": {}}


def test_all_variants_are_one_family() -> None:
    rows = {name: {"silhouette": change(0.02), "knn_accuracy": change(0.03)} for name in "ab"}
    found = corrected_rows(rows)
    assert found.keys() == rows.keys()
    assert not any(is_clear(marks) for row in found.values() for marks in row.values())
    assert is_clear(corrected_rows({"a": {"silhouette": change(0.02)}})["a"]["silhouette"])
