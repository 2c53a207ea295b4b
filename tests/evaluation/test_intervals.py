"""Intervals: how often they hold the true value, what bounds them, and p-values and chance."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from benchmarks.coverage import (
    ENOUGH,
    RESULT,
    Coverage,
    Rng,
    coverage,
    marked,
    of_concepts,
    of_harm,
    of_likelihoods,
    of_separation,
    of_shares,
)
from pipeline.core.files import read_json
from pipeline.evaluation.bootstrap import draw_resamples
from pipeline.evaluation.intervals import (
    Auroc,
    Proportion,
    Statistic,
    estimate,
    estimate_chance,
    estimate_defined,
    share_of,
)

SAMPLES, RESAMPLES = 150, 200
SLACK = 2 * np.sqrt(ENOUGH * (1 - ENOUGH) / SAMPLES)  # two standard errors of a simulated coverage
CLAIMED = {  # numbers whose intervals are said to cover
    "centroid_accuracy", "knn_accuracy", "probe_accuracy", "silhouette", "cosine_within",
    "cosine_between", "cosine_gap", "coding_rate_within", "coding_rate_gap", "auroc", "accuracy",
    "tpr", "fpr", "tpr_for_5_percent", "fpr_for_5_percent", "tpr_at_1_percent", "share",
    "share_of_answers", "equal_share", "perplexity",
}  # fmt: skip

# Coverage, by simulation: benchmarks/coverage.py in small


@pytest.mark.parametrize("gaps", [[1.4], [0.6, 1.4]], ids=["apart", "difference"])
def test_intervals_of_separation_hold_the_true_value(gaps: list[float]) -> None:
    """Four concepts, fewer texts of each than dimensions."""
    found = coverage(of_separation(gaps, 4, 20, 32, RESAMPLES), SAMPLES)
    assert not found.keys() & {"hausdorff", "hausdorff_scaled"}, "these have no interval"
    held_where_claimed(found)


@pytest.mark.parametrize("area", [0.98, 0.995])
def test_intervals_of_a_monitor_hold_the_true_value(area: float) -> None:
    found = coverage(of_harm(area, resamples=RESAMPLES), SAMPLES)
    assert "fpr95" not in found, "40 safe texts do not tell it"
    assert found["equal_auroc"]["alarms"] < 0.05 + SLACK, "two alike monitors"
    held_where_claimed(found)


def test_the_interval_of_recall_at_a_low_rate_holds_the_true_value() -> None:
    """Ten of a thousand safe texts lie beyond the threshold that is found anew in every sample."""
    found = coverage(of_harm(0.98, 100, 1000, resamples=100), SAMPLES)
    assert "tpr_at_0_1_percent" not in found, "of a single text beyond it there is no interval"
    held_where_claimed(found)


def test_intervals_of_a_monitor_of_concepts_hold_the_true_value() -> None:
    held_where_claimed(coverage(of_concepts(3.0, resamples=RESAMPLES), SAMPLES))


@pytest.mark.parametrize("share", [0.3, 0.995])
def test_intervals_of_shares_and_documents_hold_the_true_value(share: float) -> None:
    found = coverage(of_shares(share, resamples=RESAMPLES), SAMPLES)
    assert found["equal_share"]["alarms"] < 0.05 + SLACK, "two alike models"
    held_where_claimed(found | coverage(of_likelihoods(), SAMPLES))


def held_where_claimed(found: Coverage) -> None:
    assert found.keys() & CLAIMED
    for name in found.keys() & CLAIMED:
        assert found[name]["covers"] >= ENOUGH - SLACK, (name, found[name])


def test_the_committed_simulation_shows_what_is_claimed() -> None:
    """And names what does not cover."""
    committed = read_json(RESULT)
    assert committed["marked"] == marked(committed["populations"], committed["samples"])
    assert not CLAIMED & {*committed["marked"]}


def test_the_simulation_sees_intervals_that_are_too_narrow() -> None:
    """The bootstrap's own percentiles of a share, and of an area, near 1."""

    def percentiles(rng: Rng) -> Mapping[str, Statistic]:
        share = of_shares(0.995, resamples=RESAMPLES)(rng)["share"]
        harm = of_harm(0.995, resamples=RESAMPLES)(rng)["auroc"]
        return {"share": Statistic(share.values), "auroc": Statistic(harm.values)}

    found = coverage(percentiles, SAMPLES)
    assert all(own["covers"] < ENOUGH - 2 * SLACK for own in found.values()), found


# Single kinds


@given(st.integers(1, 400), st.data())
def test_the_interval_of_a_share_is_wilsons(texts: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, texts))
    values = np.repeat([1.0, 0.0], [right, texts - right])
    own = share_of(values, draw_resamples(texts, 4000, 0))
    low, high = binomtest(right, texts).proportion_ci(method="wilson")
    assert own.interval() == pytest.approx((low, high), abs=0.1 / np.sqrt(texts))
    if right in (0, texts):
        assert own.interval() == pytest.approx((low, high))
    assert 0 <= own.interval()[0] <= right / texts <= own.interval()[1] <= 1


@given(st.floats(0, 1), st.floats(0, 0.3), st.integers(1, 300), st.integers(1, 300))
def test_the_interval_of_an_area_holds_it_and_stays_in_its_range(
    area: float, spread: float, positives: int, negatives: int
) -> None:
    drawn = np.array([area, area - spread, area + spread])
    low, high = Auroc(drawn, positives, negatives).interval()
    assert 0 <= low <= area <= high <= 1
    more = Auroc(drawn[:1].repeat(3), 4 * positives, 4 * negatives).interval()
    assert more[1] - more[0] <= high - low + 1e-9, "more texts are never less sure"


def test_a_perfect_area_has_a_width_that_texts_give_it() -> None:
    """Newcombe's own example: an area of 1 among 200 and 40 texts is no proof of perfection."""
    low, high = Auroc(np.ones(50), 200, 40).interval()
    assert high == 1
    assert 0.96 < low < 0.99


def test_a_change_of_no_text_is_no_proof_that_none_ever_changes() -> None:
    values, counts = np.repeat([1.0, 0.0], [200, 40]), draw_resamples(240, 500, 0)
    same = share_of(values, counts) - share_of(values, counts)
    low, high = same.interval()
    assert same.value == 0
    assert -low == high == pytest.approx(1.96 * np.sqrt(2) / 242, rel=1e-3)
    assert same.p_value() == 1
    few, moved = values.copy(), values.copy()
    few[200:204], moved[200:220] = 1, 1
    less, more = (share_of(now, counts) - share_of(values, counts) for now in (few, moved))
    assert less.p_value() > 0.05, "an exact test of four changes of one sign gives .125"
    assert more.p_value() < 1e-4


def test_a_percentile_interval_and_its_p_value() -> None:
    drawn = np.r_[2.0, np.random.default_rng(0).normal(2.0, 1.0, size=4000)]
    found = Statistic(drawn)
    assert found.interval() == pytest.approx((2 - 1.96, 2 + 1.96), abs=0.1)
    assert found.p_value() == pytest.approx(0.0455, abs=0.003)
    assert Statistic(np.array([1.0, 1.0, 1.0])).p_value() == 1, "nothing varies: nothing is known"


def test_a_difference_is_paired() -> None:
    one, other = np.array([3.0, 2.0, 4.0]), np.array([1.0, 0.5, 1.5])
    assert (Statistic(one) - Statistic(other)).values.tolist() == [2, 1.5, 2.5]
    assert (
        type(Proportion(one, 3) - Proportion(other, 3) - Proportion(other, 3)).__name__
        == "ProportionChange"
    )


def test_shares_of_different_texts_differ_as_surely_as_the_fewer_allow() -> None:
    """Whichever is taken from the other."""
    many, few = (Proportion(np.full(3, 0.5), texts) for texts in (40, 1))
    for found in (many - few, few - many, many - many - few):
        assert found.standard_error() == pytest.approx(np.sqrt(2) / 3)
    assert (many - many).standard_error() == pytest.approx(np.sqrt(2) / 42)


def test_undefined_resamples_are_left_out_and_an_undefined_value_is_refused() -> None:
    found = estimate(np.array([1.0, np.nan, 2.0, 3.0]))
    assert (found.value, found.low, found.high) == pytest.approx((1, 2.025, 2.975))
    assert estimate(np.array([1.0, np.nan])).high == 1
    with pytest.raises(ValueError, match="undefined on these texts"):
        estimate(np.array([np.nan, 1.0]))
    assert estimate_defined({"a": np.array([np.nan, 1.0])}) == {}


def test_without_resamples_there_is_a_value_and_no_interval() -> None:
    assert estimate(np.array([2.0])).as_tree() == {"value": 2}


def test_chance_comes_from_permuted_labels_alone() -> None:
    found = estimate_chance(np.array([100.0, *np.linspace(0, 1, 41)]))
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.025, 0.975))
