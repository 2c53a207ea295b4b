"""Transport: W1 is exact, its laws hold; shuffled labels spread concepts and lose the margin."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr, wasserstein_distance

from pipeline.evaluation.bootstrap import draw_resamples
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.linear_probe import Probe, fit_probe
from pipeline.evaluation.transport import (
    EXPECTED_SIGN,
    correlation,
    k_variances,
    kv_margins,
    lipschitz,
    margins,
    medians,
    spearman,
    transport,
    wasserstein,
)
from tests.support.clouds import clouds

Texts = tuple[NDArray[np.float64], NDArray[np.str_]]


def measured(train: Texts, test: Texts) -> dict[str, Estimate]:
    counts = {
        "train": draw_resamples(len(train[1]), 50, seed=1),
        "test": draw_resamples(len(test[1]), 50, seed=0),
    }
    return transport(train, {"test": test}, counts, samples=8, draws=4, seed=0)


# W1


def test_moving_a_sample_onto_itself_costs_nothing() -> None:
    sample = clouds(3)[0]
    assert wasserstein(sample, np.random.default_rng(0).permutation(sample)) == pytest.approx(0)


def test_moving_everything_by_one_vector_costs_its_length() -> None:
    sample = clouds(3)[0]
    assert wasserstein(sample, sample + 2) == pytest.approx(2 * np.sqrt(12))


@given(st.integers(0, 1000))
def test_on_a_line_sorted_texts_are_matched(seed: int) -> None:
    one, other = np.random.default_rng(seed).normal(size=(2, 9, 1))
    expected = np.abs(np.sort(one[:, 0]) - np.sort(other[:, 0])).mean()
    assert wasserstein(one, other) == pytest.approx(expected)
    assert wasserstein(one, other) == pytest.approx(wasserstein_distance(one[:, 0], other[:, 0]))


@given(st.integers(0, 1000))
def test_it_is_the_cheapest_of_all_matchings(seed: int) -> None:
    one, other = np.random.default_rng(seed).normal(size=(2, 5, 3))
    costs = [
        np.linalg.norm(one - other[list(way)], axis=1).mean() for way in permutations(range(5))
    ]
    assert wasserstein(one, other) == pytest.approx(min(costs))
    assert wasserstein(one, other) == pytest.approx(wasserstein(other, one))


# k-variance


@given(st.integers(0, 50), st.floats(0.01, 100), st.floats(-100, 100))
def test_k_variance_grows_with_scale_and_knows_no_origin(
    seed: int, scale: float, shift: float
) -> None:
    vectors, labels = clouds(2, seed, per=8)
    one = k_variances(vectors, labels, 4, 3, seed=0)
    other = k_variances(scale * vectors + shift, labels, 4, 3, seed=0)
    np.testing.assert_allclose(other, scale * one, rtol=1e-6)


def test_two_texts_cost_their_distance_and_one_or_equal_ones_nothing() -> None:
    vectors = np.array([[0.0, 0], [3, 4], [1, 1], [7, 7], [7, 7], [7, 7]])
    labels = np.array(list("aabccc"))
    costs = k_variances(vectors, labels, samples=50, draws=3, seed=0)
    np.testing.assert_allclose(costs, np.tile([5.0, 0, 0], (3, 1)))


def test_the_two_samples_share_no_text() -> None:
    """Texts at unit distance of each other: a text matched to itself would cost nothing."""
    corners = np.eye(20) * np.sqrt(0.5)
    costs = k_variances(corners, np.full(20, "a"), samples=7, draws=5, seed=0)
    np.testing.assert_allclose(costs, 1)


def test_k_variance_is_the_expected_distance_of_samples_of_one() -> None:
    vectors, labels = clouds(0, per=10)
    vectors, labels = vectors[:10], labels[:10]
    pairs = np.linalg.norm(vectors[:, None] - vectors, axis=2)[~np.eye(10, dtype=bool)]
    costs = k_variances(vectors, labels, samples=1, draws=800, seed=0)
    assert costs.mean() == pytest.approx(pairs.mean(), rel=0.03)


# Normalised margins


def test_kv_margin_is_its_plain_definition() -> None:
    vectors, labels = clouds(2, per=9)
    kept = np.r_[:20]
    vectors, labels = vectors[kept], labels[kept]
    probe = fit_probe(vectors, labels)
    costs = k_variances(vectors, labels, 4, 6, seed=0)
    of_texts = []
    for vector, label in zip(vectors, labels, strict=True):
        scores = {
            c: w @ vector + b for c, w, b in zip("abc", probe.weights, probe.offsets, strict=True)
        }
        of_texts.append(scores.pop(label) - max(scores.values()))
    allowed = 0.0
    for c, concept in enumerate("abc"):
        steepest = max(np.linalg.norm(probe.weights[c] - other) for other in probe.weights)
        allowed += (labels == concept).mean() * costs[:, c].mean() * steepest
    found = kv_margins(probe, vectors, labels, costs.mean(0, keepdims=True), np.ones((1, 20)))
    assert found == pytest.approx(np.median(of_texts) / allowed)


@given(st.integers(0, 1000))
def test_no_margin_changes_faster_than_its_lipschitz_constant(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probe = Probe(np.array(["a", "b", "c"]), rng.normal(size=(3, 4)), rng.normal(size=3))
    labels = rng.choice(probe.concepts, 40)
    one, other = rng.normal(size=(2, 40, 4))
    changed = np.abs(margins(probe, one, labels) - margins(probe, other, labels))
    steepest = lipschitz(probe)[np.searchsorted(probe.concepts, labels)]
    assert (changed <= steepest * np.linalg.norm(one - other, axis=1) + 1e-9).all()


def test_the_lipschitz_constant_is_reached() -> None:
    probe = Probe(np.array(["a", "b"]), np.array([[0.0, 0], [3, 4]]), np.zeros(2))
    assert lipschitz(probe) == pytest.approx([5, 5])
    points, labels = np.array([[0.0, 0], [0.6, 0.8]]), np.array(["b", "b"])
    assert np.diff(margins(probe, points, labels)) == pytest.approx(5)


@given(st.integers(0, 1000), st.integers(1, 9))
def test_medians_of_resamples_are_those_of_the_texts_they_hold(seed: int, texts: int) -> None:
    values = np.random.default_rng(seed).integers(0, 5, texts) / 4
    counts = np.random.default_rng(seed).integers(0, 4, (6, texts)).astype(float)
    counts[counts.sum(1) == 0] = 1
    expected = [np.median(np.repeat(values, row.astype(int))) for row in counts]
    np.testing.assert_allclose(medians(values, counts), expected)


@given(st.integers(0, 20), st.floats(0.01, 100), st.floats(-100, 100))
def test_scale_and_shift_change_no_scale_free_number(seed: int, scale: float, shift: float) -> None:
    (train, known), (test, labels) = clouds(2, seed, per=10), clouds(2, seed + 1, per=10)
    one = measured((train, known), (test, labels))
    other = measured((scale * train + shift, known), (scale * test + shift, labels))
    for name, found in one.items():
        factor = scale if name == "k_variance" else 1
        assert vars(other[name]) == pytest.approx(
            {end: factor * number for end, number in vars(found).items()}, rel=1e-5, abs=1e-7
        ), name


def test_a_concentrated_concept_has_a_small_variance_and_a_wide_margin() -> None:
    loose, tight = (measured(clouds(gap), clouds(gap, seed=1)) for gap in (2, 12))
    assert tight["k_variance"].value == pytest.approx(loose["k_variance"].value), "the same noise"
    assert tight["k_variance_scaled"].high < loose["k_variance_scaled"].low
    assert tight["kv_margin"].low > loose["kv_margin"].high
    assert tight["gap_test"].value < loose["gap_test"].value


def test_shuffled_labels_spread_concepts_and_lose_the_margin() -> None:
    found = measured(clouds(6), clouds(6, seed=1))
    assert found["k_variance_scaled_shuffled"].low > found["k_variance_scaled"].high
    assert found["kv_margin_shuffled"].high < found["kv_margin"].low
    assert found["kv_margin_shuffled"].value < 0.1


def test_gaps_are_training_less_held_out_accuracy() -> None:
    train, test = clouds(1), clouds(1, seed=1)
    found = measured(train, test)
    probe = fit_probe(*train)
    right = [(probe.predict(vectors) == labels).mean() for vectors, labels in (train, test)]
    assert (found["train_accuracy"].value, found["test_accuracy"].value) == pytest.approx(right)
    assert found["gap_test"].value == pytest.approx(right[0] - right[1])
    assert found["gap_test"].low < found["gap_test"].value < found["gap_test"].high


@pytest.mark.parametrize("labels", [np.repeat(["a", "b", "c"], 4), np.full(12, "a")])
def test_texts_that_are_all_the_same_have_no_margin(labels: NDArray[np.str_]) -> None:
    found = measured((np.ones((12, 4)), labels), (np.ones((12, 4)), labels))
    assert {"kv_margin", "kv_margin_shuffled"}.isdisjoint(found)
    assert found["k_variance"].value == found["k_variance_scaled"].value == 0
    assert found["gap_test"].value == 0


# The correlation with the measured gap


@given(st.integers(0, 1000))
def test_rank_correlation_is_scipys(seed: int) -> None:
    one, other = np.random.default_rng(seed).integers(0, 6, (2, 12))
    one[0], other[0] = 9, 9  # no constant
    assert spearman(one, other) == pytest.approx(spearmanr(one, other).statistic)


def test_margins_that_bound_the_gap_are_distinguished_from_those_that_do_not() -> None:
    margin = np.random.default_rng(0).random(30)
    noise = np.random.default_rng(1).random(30)
    variants = [f"v{number}" for number in range(30)]
    bound = correlation(list(zip(variants, margin, 1 - margin**2, strict=True)), 200, seed=0)
    assert bound["spearman"].value == pytest.approx(EXPECTED_SIGN)
    assert bound["spearman"].high < bound["spearman_shuffled"].low
    free = correlation(list(zip(variants, margin, noise, strict=True)), 2000, seed=0)
    assert free["spearman"].low < 0 < free["spearman"].high
    assert free["spearman_shuffled"].low < free["spearman"].value < free["spearman_shuffled"].high


def test_points_that_are_the_same_count_once_and_too_few_are_no_correlation() -> None:
    points = [("a", 0.1, 0.9), ("b", 0.2, 0.5), ("c", 0.3, 0.7), ("d", 0.4, 0.1)]
    assert correlation([*points, *points[:1] * 5], 20, 0) == correlation(points, 20, 0)
    assert correlation([("a", 0.1, 0.9)] * 3, 20, 0) == {}
    assert correlation([("a", 0.1, 0.5), ("b", 0.2, 0.5)], 20, 0) == {}


def test_the_layers_of_one_model_are_drawn_together() -> None:
    """Two models of thirty layers each are two samples, not sixty."""
    rng = np.random.default_rng(0)
    points = [(name, at + 0.01 * noise, -at + 0.01 * rng.random())
              for name, at in (("a", 0.1), ("b", 0.9)) for noise in rng.random(30)]  # fmt: skip
    together = correlation(points, 200, 0)["spearman"]
    alone = correlation([(str(n), *p[1:]) for n, p in enumerate(points)], 200, 0)["spearman"]
    assert together.high - together.low > 3 * (alone.high - alone.low)
