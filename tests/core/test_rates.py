"""A rate in words is read by people and has no dot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.rates import in_words


@pytest.mark.parametrize(
    ("rate", "words"),
    [(0.05, "5_percent"), (0.01, "1_percent"), (0.001, "0_1_percent"), (0.125, "12_5_percent"),
     (0.07, "7_percent")],
)  # fmt: skip
def test_a_rate_is_said_in_per_cent(rate: float, words: str) -> None:
    assert in_words(rate) == words


@given(st.integers(1, 999))
def test_rates_have_names_of_their_own_without_dots(thousandths: int) -> None:
    name = in_words(thousandths / 1000)
    assert name.endswith("_percent")
    assert "." not in name
    assert float(name.removesuffix("_percent").replace("_", ".")) == pytest.approx(thousandths / 10)
