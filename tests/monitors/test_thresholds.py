"""Thresholds: no other does better, rates are kept on validation texts, ties and single classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.monitors.thresholds import (
    UNCHOSEN,
    Thresholds,
    choose_threshold,
    choose_thresholds,
    threshold_for,
)


def test_a_threshold_parts_scores_that_six_digits_do_not() -> None:
    high = 1 - np.array([1e-9, 2e-9, 3e-9, 4e-9])
    harmful = np.array([True, True, False, False])
    for threshold in (choose_threshold(harmful, high), threshold_for(0.1, harmful, high)):
        assert list(high >= threshold) == list(harmful)
    near = np.array([1.0, np.nextafter(1.0, 0)])
    assert list(near >= choose_threshold(np.array([True, False]), near)) == [True, False]


@pytest.mark.parametrize(
    ("harmful", "score", "expected"),
    [
        ([1, 1, 0, 0], [0.9, 0.8, 0.3, 0.1], 0.55),  # midway
        ([1, 0, 1, 0], [0.9, 0.7, 0.5, 0.1], 0.8),  # of two as good, the fewer false alarms
        ([1, 1, 0, 0], [0.5, 0.5, 0.5, 0.5], UNCHOSEN),  # ties everywhere
        ([0, 0, 1, 1], [0.9, 0.8, 0.3, 0.1], UNCHOSEN),  # worse than chance
        ([1, 1], [0.9, 0.8], UNCHOSEN),
        ([0, 0], [0.9, 0.8], UNCHOSEN),
        ([], [], UNCHOSEN),
    ],
)
def test_thresholds(harmful: list[int], score: list[float], expected: float) -> None:
    assert choose_threshold(np.array(harmful, bool), np.array(score)) == pytest.approx(expected)


@given(st.integers(0, 1000))
def test_no_threshold_parts_better_than_the_chosen_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    harmful, score = rng.random(25) < 0.5, rng.integers(0, 12, 25) / 12
    harmful[:2] = True, False

    def gain(threshold: float) -> float:
        return float((score[harmful] >= threshold).mean() - (score[~harmful] >= threshold).mean())

    best = max(gain(threshold) for threshold in score)
    if best > 0:
        assert gain(choose_threshold(harmful, score)) == pytest.approx(best)


@given(st.integers(0, 1000), st.floats(0.001, 0.999))
def test_a_threshold_for_a_rate_keeps_to_it_and_none_that_does_finds_more(
    seed: int, rate: float
) -> None:
    rng = np.random.default_rng(seed)
    harmful, score = rng.random(25) < 0.5, rng.integers(0, 12, 25) / 12
    harmful[:2] = True, False
    chosen = threshold_for(rate, harmful, score)
    assert (score[~harmful] >= chosen).mean() <= rate + 1e-12
    for other in (*score, np.inf):
        if (score[~harmful] >= other).mean() <= rate:
            assert (score[harmful] >= other).mean() <= (score[harmful] >= chosen).mean()


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (0.01, 0.85),  # between a harmful text and the highest safe one
        (0.5, 0.4),  # one safe text of two may raise an alarm
        (0.99, 0.4),  # and more alarms find no more
    ],
)
def test_a_threshold_for_a_rate_worked_example(rate: float, expected: float) -> None:
    harmful, score = np.array([1, 0, 1, 0], bool), np.array([0.9, 0.8, 0.6, 0.2])
    assert threshold_for(rate, harmful, score) == pytest.approx(expected)


def test_where_safe_texts_score_highest_no_alarm_keeps_to_a_low_rate() -> None:
    harmful, score = np.array([0, 1, 1], bool), np.array([1.0, 1.0, 0.5])
    assert not (score >= threshold_for(0.01, harmful, score)).any()


@pytest.mark.parametrize("harmful", [[True, True], [False, False], []])
def test_texts_of_one_kind_choose_nothing(harmful: list[bool]) -> None:
    score = np.linspace(0, 1, len(harmful))
    assert choose_thresholds(np.array(harmful, bool), score, [0.05]) == Thresholds()


def test_thresholds_for_rates_are_written_beside_the_best_threshold() -> None:
    harmful, score = np.array([1, 0, 1, 0], bool), np.array([0.9, 0.8, 0.6, 0.2])
    assert choose_thresholds(harmful, score, [0.5]).as_tree() == pytest.approx(
        {"threshold": 0.85, "threshold_for_50_percent": 0.4}
    )
