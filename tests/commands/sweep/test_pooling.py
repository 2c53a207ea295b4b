"""Runs pooled over seeds: means and intervals by hand, what is varied, what is left out."""

import math
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from commands.sweep.experiments import Experiment, Point
from commands.sweep.pooling import (
    VARIANT,
    Setting,
    differences_from,
    gap_over_seeds,
    mean_over_seeds,
    pooled_settings,
)

VALUES = st.lists(st.floats(-1, 1), min_size=2, max_size=8)


def point(seed: int, value: float, variant: str = "tuned", **params: Any) -> Point:
    marks = {"value": value, "low": value - 0.1, "high": value + 0.2}
    return Point(Experiment(f"{variant}-{seed}", ""), variant, seed, params, {"probe": marks})


def pooled(*values: float) -> Setting:
    (found,) = pooled_settings([point(seed, value) for seed, value in enumerate(values)])[0]
    return found


@given(VALUES)
def test_the_interval_over_seeds_is_students(values: list[float]) -> None:
    found = mean_over_seeds(values)
    mean, error = statistics.fmean(values), stats.sem(values)
    assert found["value"] == pytest.approx(mean)
    if len({*values}) > 1 and error > 1e-9:
        ends = stats.t.interval(0.95, len(values) - 1, loc=mean, scale=error)
        assert (found["seeds_low"], found["seeds_high"]) == pytest.approx(ends)


@given(VALUES)
def test_paired_differences_are_a_t_test(values: list[float]) -> None:
    found = gap_over_seeds(values)
    if stats.sem(values) > 1e-9:
        assert found["p"] == pytest.approx(float(stats.ttest_1samp(values, 0).pvalue), abs=1e-9)


def test_seeds_that_do_not_differ_have_no_width_and_show_nothing() -> None:
    same = gap_over_seeds([0.25, 0.25])
    assert (same["low"], same["high"], same["p"]) == (0.25, 0.25, 1.0)


def test_one_seed_has_no_interval_over_seeds_and_keeps_that_over_texts() -> None:
    found = pooled(0.5).estimate("probe")
    assert found == {"value": 0.5, "low": 0.4, "high": 0.7}


def test_an_interval_over_texts_is_the_mean_of_the_runs() -> None:
    found = pooled(0.5, 0.7).estimate("probe")
    assert found
    assert (found["low"], found["high"]) == pytest.approx((0.5, 0.8))
    assert found["seeds_high"] - found["value"] == pytest.approx(12.7062 * 0.1, rel=1e-4)


def test_a_number_without_an_interval_in_one_run_has_none_and_an_unknown_one_is_nothing() -> None:
    runs = [point(0, 0.5, rate=1), point(1, 0.7, rate=1)]
    bare = Point(runs[1].experiment, "tuned", 1, runs[1].params, {"probe": {"value": 0.7}})
    (own,), _ = pooled_settings([runs[0], bare])
    assert "low" not in (own.estimate("probe") or {})
    assert own.estimate("novel") is None


def test_settings_are_what_differs_but_for_the_seed_in_order_of_size() -> None:
    points = [point(seed, 0.5, rate=rate, layers=[layer], fixed="same")
              for rate in (1e-2, 3e-3) for layer in (10, 2) for seed in (0, 1)]  # fmt: skip
    settings, left_out = pooled_settings(points)
    assert [own.values for own in settings] == [
        {"rate": 3e-3, "layers": [2]}, {"rate": 3e-3, "layers": [10]},
        {"rate": 1e-2, "layers": [2]}, {"rate": 1e-2, "layers": [10]},
    ]  # fmt: skip
    assert all([*own.runs] == [0, 1] for own in settings)
    assert not left_out


def test_variants_are_settings_in_the_order_asked_and_their_own_rows_are_not() -> None:
    """What differs between two variants is which variant it is."""
    points = [point(seed, 0.5, name, **{f"variants.{name}.steps": steps})
              for name, steps in (("zeta", 60), ("alpha", 5)) for seed in (0, 1)]  # fmt: skip
    settings, _ = pooled_settings(points)
    assert [own.values for own in settings] == [{VARIANT: "zeta"}, {VARIANT: "alpha"}]


def test_a_param_that_only_some_runs_have_tells_them_apart() -> None:
    settings, _ = pooled_settings([point(0, 0.5), point(1, 0.5, new=3)])
    assert [own.values for own in settings] == [{}, {"new": 3}]


def test_of_two_runs_of_one_seed_the_later_counts_and_the_former_is_named() -> None:
    (own,), left_out = pooled_settings([point(0, 0.1), point(0, 0.9)])
    assert own.values_of("probe") == [0.9]
    assert left_out == ["tuned-0 has the params and the seed of tuned-0, which is later"]


def test_differences_are_of_shared_seeds_and_corrected_together() -> None:
    """0.1, 0.11, 0.12 above: t = 0.11 / (0.01 / sqrt 3); three seeds of four are shared."""
    first = [point(seed, value, rate=1) for seed, value in enumerate((0.5, 0.7, 0.2, 0.9))]
    higher = [point(seed, 0.1 + 0.01 * seed + run.numbers["probe"]["value"], rate=2)
              for seed, run in enumerate(first[:3])]  # fmt: skip
    alone = [point(0, 0.5, rate=3)]
    (reference, *others), _ = pooled_settings([*first, *higher, *alone])
    found = differences_from(reference, [reference, *others], ["probe"])
    assert [*found] == [(1, "probe")], "one seed is no pair"
    assert found[1, "probe"]["value"] == pytest.approx(0.11)
    t = 0.11 / (0.01 / math.sqrt(3))
    assert found[1, "probe"]["p"] == pytest.approx(2 * float(stats.t.sf(t, 2)))
    twice = differences_from(reference, [reference, others[0], others[0]], ["probe"])
    assert twice[1, "probe"]["p"] == pytest.approx(2 * found[1, "probe"]["p"])
