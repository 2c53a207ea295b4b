"""Resamples: what comes and goes together, and statistics to first order."""

import numpy as np
import pytest

from pipeline.evaluation.bootstrap import (
    Counts,
    Vector,
    draw_prompts,
    draw_resamples,
    linearised,
    prompts_in,
    resampled_mean,
)
from pipeline.evaluation.intervals import Estimate, estimate


def estimate_mean(values: Vector, counts: Counts) -> Estimate:
    return estimate(resampled_mean(values, counts))


def test_interval_of_a_mean_is_about_two_standard_errors() -> None:
    values = np.random.default_rng(0).normal(size=400)
    found = estimate_mean(values, draw_resamples(400, 2000, seed=0))
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(4 * values.std() / 20, rel=0.1)
    assert estimate_mean(values, draw_resamples(400, 2000, seed=0)) == found


def test_resamples_hold_as_many_texts_and_the_first_holds_each_once() -> None:
    counts = draw_resamples(7, 50, seed=0)
    assert counts.shape == (51, 7)
    assert (counts[0] == 1).all()
    assert (counts.sum(1) == 7).all()
    assert (counts[1:] != 1).any()


def test_texts_that_share_a_prompt_come_and_go_together() -> None:
    """A prompt that stands twice tells no more than once; resampled by text it would seem to."""
    values = np.random.default_rng(0).normal(size=60)
    prompts = [f"prompt {number}" for number in range(60)]
    once = estimate_mean(values, draw_prompts(prompts, 500, seed=0))
    counts = draw_prompts([*prompts, *prompts], 500, seed=0)
    assert (counts[:, :60] == counts[:, 60:]).all()
    assert prompts_in(counts) == 60
    twice = np.tile(values, 2)
    assert vars(estimate_mean(twice, counts)) == pytest.approx(vars(once))
    by_text = estimate_mean(twice, draw_resamples(120, 500, seed=0))
    assert by_text.high - by_text.low < 0.85 * (once.high - once.low)


def test_a_resample_of_prompts_weighs_the_texts_it_holds() -> None:
    """Prompts have different numbers of texts: the mean of a resample is over those it holds."""
    found = estimate_mean(np.ones(5), draw_prompts(list("aaabb"), 50, seed=0))
    assert (found.low, found.high) == (1, 1)


def test_a_linear_statistic_is_exact_to_first_order() -> None:
    values, counts = np.random.default_rng(0).normal(size=20), draw_resamples(20, 30, seed=0)
    np.testing.assert_allclose(linearised(values.sum(), values, counts), counts @ values)
