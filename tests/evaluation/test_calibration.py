"""Whether probabilities are what they say: worked examples, an honest and a boastful monitor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.bootstrap import draw_resamples
from pipeline.evaluation.calibration import bins_of, calibration_error, reliability

ONCE = np.ones((1, 4))
CONFIDENCE = np.array([0.95, 0.95, 0.55, 1.0])
CORRECT = np.array([True, False, True, True])


def test_calibration_worked_example() -> None:
    expected = 0.75 * abs(2.9 / 3 - 2 / 3) + 0.25 * abs(0.55 - 1)
    assert calibration_error(CONFIDENCE, CORRECT, ONCE)[0] == pytest.approx(expected)


def test_reliability_worked_example() -> None:
    low, high = reliability(CONFIDENCE, CORRECT, ONCE)
    assert (low["bin"], low["texts"], low["probability"], low["share"]) == (0.5, 1, 0.55, 1)
    assert (high["bin"], high["texts"]) == (0.9, 3)
    assert (high["probability"], high["share"]) == pytest.approx((2.9 / 3, 2 / 3))
    assert high["low"] < high["share"] < high["high"]


@given(st.integers(0, 1000))
def test_the_bins_add_up_to_the_calibration_error(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probability, happened = rng.integers(0, 21, 50) / 20, rng.random(50) < 0.5
    rows = list(reliability(probability, happened, draw_resamples(50, 5, seed)))
    assert sum(row["texts"] for row in rows) == 50
    error = sum(row["texts"] * abs(row["probability"] - row["share"]) for row in rows) / 50
    whole = calibration_error(probability, happened, np.ones((1, 50)))[0]
    assert error == pytest.approx(whole)
    assert all(row["low"] <= row["share"] <= row["high"] for row in rows)


def test_shares_of_an_honest_monitor_are_its_probabilities() -> None:
    """And those of one that doubles the evidence are not."""
    rng = np.random.default_rng(0)
    logit = rng.normal(size=20_000)
    honest = 1 / (1 + np.exp(-logit))
    happened = rng.random(len(logit)) < honest
    boastful = 1 / (1 + np.exp(-2 * logit))
    counts = np.ones((1, len(logit)))
    assert calibration_error(honest, happened, counts)[0] < 0.02
    assert calibration_error(boastful, happened, counts)[0] > 0.05
    for row in reliability(honest, happened, counts):
        assert row["share"] == pytest.approx(row["probability"], abs=0.08)


def test_no_text_has_no_bin() -> None:
    assert list(reliability(np.zeros(0), np.zeros(0, bool), np.ones((1, 0)))) == []
    assert bins_of(np.array([0.0, 0.1, 0.95, 1.0])).tolist() == [0, 1, 9, 9]
