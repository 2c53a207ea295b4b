"""Separation: every number is its plain definition, shuffled labels show no gap, odd inputs do.

Longer than other files, as every number's plain definition stands here.
"""

from collections.abc import Callable
from itertools import combinations, combinations_with_replacement, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import directed_hausdorff
from scipy.stats import pearsonr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_samples
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.core.sections import Reading
from pipeline.evaluation import separation as sep
from pipeline.evaluation.against_base import under
from pipeline.evaluation.bootstrap import draw_labellings, draw_resamples
from pipeline.evaluation.coding_rates import (
    coding_rate,
    coding_rates,
    coding_rates_of_labellings,
    effective_rank,
)
from pipeline.evaluation.distances import hausdorff
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.linear_probe import fit_probe
from pipeline.evaluation.separation_by_layer import LayerSeparation, separation_metrics
from tests.support.clouds import clouds

Texts = tuple[NDArray[np.float64], NDArray[np.str_]]
READING = Reading(layer=1, position="last", neighbours=5, resamples=50, false_alarms=(0.05,))
PATH = ("layer_1", "last", "test")
RAW_LENGTHS = {"l1", "l2", "hausdorff"}
FARTHEST = {"hausdorff", "hausdorff_scaled"}  # which have no interval
# Every number stands in the set that says which texts define it; without them it is left out.
OF_ONE_TEXT = {
    "centroid_accuracy", "knn_accuracy", "probe_accuracy", "silhouette", "silhouette_shuffled",
    "coding_rate_all", "coding_rate_within", "coding_rate_gap", "coding_rate_gap_shuffled",
    "effective_rank",
}  # fmt: skip
OF_TWO_TEXTS_OF_A_CONCEPT = {"cosine_within"}
OF_TWO_CONCEPTS = {
    "cosine_between", "angle", "pearson", "l1", "l2", "hausdorff",
    "l1_scaled", "l2_scaled", "hausdorff_scaled",
}  # fmt: skip
OF_BOTH = {"cosine_gap", "cosine_gap_shuffled"}
NAMES = OF_ONE_TEXT | OF_TWO_TEXTS_OF_A_CONCEPT | OF_TWO_CONCEPTS | OF_BOTH


def measured(train: Texts, test: Texts, resamples: int = 50) -> dict[str, Estimate]:
    counts = draw_resamples(len(test[1]), resamples, seed=0)
    probe = fit_probe(*train)
    return estimates(sep.separation(train, test, probe, neighbours=5, counts=counts, seed=0))


def estimates(
    found: sep.Separation, base: sep.Separation | None = None, *branch: str
) -> dict[str, Estimate]:
    """What the stage writes of one layer and position, or of a branch such as `difference`."""
    both = [
        LayerSeparation(
            under(PATH, own.resampled), {(*PATH, name): drawn for name, drawn in own.chance.items()}
        )
        for own in (found, base)
        if own
    ]
    tree: Any = separation_metrics(both[0], both[1] if base else None, READING)
    for name in (*branch, *PATH):
        tree = tree[name]
    return {
        name: Estimate(**{end: marks[end] for end in ("value", "low", "high") if end in marks})
        for name, marks in tree.items()
    }


# Plain definitions


def rate(columns: NDArray[np.float64]) -> float:
    texts, width = columns.shape
    full = np.eye(width) + width / (texts * 0.1) * columns.T @ columns
    return 0.5 * float(np.linalg.slogdet(full)[1])


def plain_rates(z: NDArray[np.float64], labels: NDArray[np.str_]) -> tuple[float, float]:
    columns = z / np.linalg.norm(z, axis=0)
    within = sum((labels == a).mean() * rate(columns[labels == a]) for a in set(labels))
    return rate(columns), within


def plain_rank(z: NDArray[np.float64]) -> float:
    shares = np.linalg.svd(z.T @ z / len(z), compute_uv=False)
    shares = shares[shares > 1e-15] / shares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def plainly(train: Texts, test: Texts) -> dict[str, float]:
    """Every number again, by loops over texts and pairs of texts, or by scikit-learn."""
    (seen, known), (vectors, labels) = train, test
    centre = seen.mean(0)
    scale = np.sqrt(np.mean([np.linalg.norm(z - centre) ** 2 for z in seen]))
    z, of_seen = vectors - centre, seen - centre
    u = np.array([row / np.linalg.norm(row) for row in z])
    u_seen = np.array([row / np.linalg.norm(row) for row in of_seen])
    concepts = sorted(set(labels))
    means = np.stack([u_seen[known == a].mean(0) for a in concepts])
    nearest = [concepts[np.linalg.norm(means - row, axis=1).argmin()] for row in u]
    neighbours = KNeighborsClassifier(5, metric="cosine").fit(of_seen, known)
    logistic = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=1000))
    within, between = [], []
    for i, j in combinations(range(len(z)), 2):
        (within if labels[i] == labels[j] else between).append(u[i] @ u[j])
    apart: dict[str, list[float]] = {name: [] for name in ("angle", "l1", "l2", "pearson", "h")}
    for a, b in combinations(concepts, 2):
        pairs = list(product(np.flatnonzero(labels == a), np.flatnonzero(labels == b)))
        cosine = np.mean([u[i] @ u[j] for i, j in pairs])
        apart["angle"].append(np.degrees(np.arccos(cosine)))
        apart["l1"].append(np.mean([np.abs(z[i] - z[j]).sum() for i, j in pairs]))
        apart["l2"].append(np.mean([np.linalg.norm(z[i] - z[j]) for i, j in pairs]))
        apart["pearson"].append(np.mean([pearsonr(z[i], z[j]).statistic for i, j in pairs]))
        one, other = z[labels == a], z[labels == b]
        ways = directed_hausdorff(one, other)[0], directed_hausdorff(other, one)[0]
        apart["h"].append(max(ways))
    mean = {name: float(np.mean(values)) for name, values in apart.items()}
    everything, inside = plain_rates(u, labels)
    return {
        "centroid_accuracy": float(np.mean(np.array(nearest) == labels)),
        "knn_accuracy": neighbours.score(z, labels),
        "probe_accuracy": logistic.fit(seen, known).score(vectors, labels),
        "silhouette": silhouette_samples(u, labels, metric="cosine").mean(),
        "cosine_within": np.mean(within),
        "cosine_between": np.mean(between),
        "cosine_gap": np.mean(within) - np.mean(between),
        "coding_rate_all": everything,
        "coding_rate_within": inside,
        "coding_rate_gap": everything - inside,
        "effective_rank": plain_rank(u),
        "angle": mean["angle"],
        "pearson": mean["pearson"],
        "l1": mean["l1"],
        "l2": mean["l2"],
        "hausdorff": mean["h"],
        "l1_scaled": mean["l1"] / scale,
        "l2_scaled": mean["l2"] / scale,
        "hausdorff_scaled": mean["h"] / scale,
    }


@pytest.mark.parametrize(("per", "width"), [(6, 5), (4, 20)])
@pytest.mark.parametrize("gap", [0.5, 4])
def test_every_number_is_its_plain_definition(gap: float, per: int, width: int) -> None:
    train, test = clouds(gap, per=15, width=width), clouds(gap, 1, per, width)
    kept = np.r_[: 2 * per + 2]  # concepts of different sizes
    test = test[0][kept], test[1][kept]
    found = {name: number.value for name, number in measured(train, test).items()}
    expected = plainly(train, test)
    controls = {"silhouette_shuffled", "cosine_gap_shuffled", "coding_rate_gap_shuffled"}
    assert found.keys() == expected.keys() | controls == NAMES, "name what defines it, above"
    assert {name: found[name] for name in expected} == pytest.approx(expected)


# Laws


def test_apart_and_together() -> None:
    far = measured(clouds(20), clouds(20, seed=1))
    assert far["knn_accuracy"].value == far["centroid_accuracy"].value == 1
    assert far["probe_accuracy"].value == 1
    assert far["silhouette"].value > 0.7
    assert far["cosine_within"].value > 0.8 > 0 > far["cosine_between"].value
    assert far["angle"].value > 90
    near = measured(clouds(0), clouds(0, seed=1))
    assert abs(near["knn_accuracy"].value - 1 / 3) < 0.15
    assert abs(near["silhouette"].value) < 0.05
    assert near["coding_rate_gap"].value < far["coding_rate_gap"].value
    assert near["l2_scaled"].value < far["l2_scaled"].value
    assert near["effective_rank"].value > far["effective_rank"].value


@given(st.integers(0, 50), st.floats(0.1, 100), st.floats(-100, 100))
def test_scale_and_shift_change_nothing_but_raw_lengths(
    seed: int, scale: float, shift: float
) -> None:
    (train, known), (test, labels) = clouds(2, seed, per=8), clouds(2, seed + 1, per=8)
    one = measured((train, known), (test, labels), resamples=10)
    other = measured((scale * train + shift, known), (scale * test + shift, labels), 10)
    for name, found in one.items():
        factor = scale if name in RAW_LENGTHS else 1
        assert other[name].value == pytest.approx(factor * found.value, abs=1e-6), name
        if name not in FARTHEST:
            assert other[name].high == pytest.approx(factor * found.high, abs=1e-6), name


def test_shuffled_labels_show_no_gap() -> None:
    rng = np.random.default_rng(0)
    (train, known), (test, labels) = clouds(20), clouds(20, seed=1)
    shuffled = measured((train, rng.permutation(known)), (test, rng.permutation(labels)), 500)
    assert abs(shuffled["knn_accuracy"].value - 1 / 3) < 0.12
    assert abs(shuffled["probe_accuracy"].value - 1 / 3) < 0.12
    assert abs(shuffled["silhouette"].value) < 0.1
    assert abs(shuffled["cosine_gap"].value) < 0.05
    for name in ("silhouette", "cosine_gap", "coding_rate_gap"):
        chance = shuffled[f"{name}_shuffled"]
        width = chance.high - chance.low
        assert chance.low - width < shuffled[name].value < chance.high + width, name


def test_what_chance_gives_stands_beside_what_is_there() -> None:
    """A gap of the coding rates is there by chance too: only the control tells."""
    apart = measured(clouds(8), clouds(8, seed=1))
    for name in ("silhouette", "cosine_gap", "coding_rate_gap"):
        assert apart[name].low > apart[f"{name}_shuffled"].high, name
    assert abs(apart["cosine_gap_shuffled"].value) < 0.02
    assert apart["coding_rate_gap_shuffled"].value > 0.1


def test_chance_is_the_same_number_under_permuted_labels() -> None:
    vectors, labels = clouds(3, per=8)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    labellings = draw_labellings(labels, 4, seed=0)
    silhouettes = sep.silhouettes(unit @ unit.T, labellings)
    gaps = sep.cosine_gaps(unit @ unit.T, labellings)
    rates = coding_rates_of_labellings(unit, labellings)
    assert (labellings[0] == labels).all()
    assert (np.sort(labellings) == np.sort(labels)).all()
    for row, permuted in enumerate(labellings):
        expected = silhouette_samples(unit, permuted, metric="cosine")
        np.testing.assert_allclose(silhouettes[row], expected, atol=1e-12)
        once = np.ones((1, len(labels)))
        assert gaps[row] == pytest.approx(sep.cosines(unit @ unit.T, permuted, once)["cosine_gap"])
        assert (rates.all[row], rates.within[row]) == pytest.approx(plain_rates(unit, permuted))


# Intervals, to first order


def weighted_rates(
    z: NDArray[np.float64], labels: NDArray[np.str_], held: NDArray[np.float64]
) -> tuple[float, float]:
    """The plain definition on texts that are held any number of times."""
    z = z / np.sqrt(held @ z**2)

    def rate_of(kept: NDArray[np.float64]) -> float:
        gram = z.T @ (kept[:, None] * z)
        shifted = np.eye(z.shape[1]) + z.shape[1] / (kept.sum() * 0.1) * gram
        return 0.5 * float(np.linalg.slogdet(shifted)[1])

    parts = [held * (labels == a) for a in set(labels)]
    return rate_of(held), sum(part.sum() / held.sum() * rate_of(part) for part in parts)


def weighted_cosines(
    z: NDArray[np.float64], labels: NDArray[np.str_], held: NDArray[np.float64]
) -> tuple[float, float]:
    same = labels[:, None] == labels
    pairs = np.outer(held, held) - np.diag(held**2)
    cosines = [(z @ z.T * pairs)[kind].sum() / pairs[kind].sum() for kind in (same, ~same)]
    return cosines[0], cosines[1]


def weighted_rank(
    z: NDArray[np.float64], labels: NDArray[np.str_], held: NDArray[np.float64]
) -> tuple[float]:
    return (plain_rank(z * np.sqrt(held)[:, None]),)


def found_rates(z: NDArray, labels: NDArray, counts: NDArray) -> list[NDArray]:
    rates = coding_rates(z, labels, counts)
    return [rates.all, rates.within]


def found_cosines(z: NDArray, labels: NDArray, counts: NDArray) -> list[NDArray]:
    found = sep.cosines(z @ z.T, labels, counts)
    return [found["cosine_within"], found["cosine_between"]]


def found_rank(z: NDArray, labels: NDArray, counts: NDArray) -> list[NDArray]:
    return [effective_rank(z, counts)]


@pytest.mark.parametrize("shape", [(30, 4), (12, 20)])
@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (found_cosines, weighted_cosines),
        (found_rank, weighted_rank),
    ],
)
def test_resamples_are_right_to_first_order(
    found: Callable[..., list[NDArray]], expected: Callable[..., tuple[float, ...]],
    shape: tuple[int, int],
) -> None:  # fmt: skip
    """A text held a little more often moves each number as it moves the plain definition."""
    z = np.random.default_rng(0).normal(size=shape)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    labels = np.array(list("abbcc") * 6)[: len(z)]
    step, once = 1e-5, np.ones(len(z))
    more = once + step * np.eye(len(z))
    values = found(z, labels, np.vstack([once, more]))
    for number, of_resamples in enumerate(values):
        assert of_resamples[0] == pytest.approx(expected(z, labels, once)[number])
        differences = [
            (expected(z, labels, held)[number] - of_resamples[0]) / step for held in more
        ]
        np.testing.assert_allclose(
            (of_resamples[1:] - of_resamples[0]) / step, differences, rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("shape", [(30, 4), (60, 40)])
def test_coding_rates_leave_each_text_out(shape: tuple[int, int]) -> None:
    """But for what it does to the length of columns, which is to first order."""
    z = np.random.default_rng(0).normal(size=shape)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    labels = np.array(list("abbcc") * 12)[: len(z)]
    once = np.ones(len(z))
    left = once - np.eye(len(z))
    for number, values in enumerate(found_rates(z, labels, np.vstack([once, left]))):
        without = np.array([weighted_rates(z, labels, held)[number] for held in left])
        found, expected = values[1:] - values[1:].mean(), without - without.mean()
        assert np.corrcoef(found, expected)[0, 1] > 0.99
        assert found.std() == pytest.approx(expected.std(), rel=0.1)


def test_intervals_to_first_order_are_those_of_resampled_texts() -> None:
    vectors, labels = clouds(3)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    counts = draw_resamples(len(labels), 200, seed=0)
    for found, expected in ((found_cosines, weighted_cosines), (found_rates, weighted_rates)):
        anew = np.array([expected(unit, labels, held) for held in counts]).T
        for shortcut, recomputed in zip(found(unit, labels, counts), anew, strict=True):
            assert shortcut.std() == pytest.approx(recomputed.std(), rel=0.25)


def test_differences_of_two_models_are_paired_by_text() -> None:
    """States of the same texts, a little further apart: clear in the difference alone. The same
    states differ by nothing."""
    (seen, known), (vectors, labels) = clouds(1.2), clouds(1.2, seed=1)
    counts = draw_resamples(len(labels), 200, seed=0)

    def found(further: float) -> sep.Separation:
        means = further * np.eye(3, 12)
        train, test = ((v + means[np.unique(y, return_inverse=True)[1]], y)
                       for v, y in ((seen, known), (vectors, labels)))  # fmt: skip
        return sep.separation(train, test, fit_probe(*train), 5, counts, seed=0)

    before, after = found(0.0), found(0.2)
    then, now = estimates(before), estimates(after)
    moved = estimates(after, before, "difference")
    assert set(moved) == {name for name in then if not name.endswith("_shuffled")}
    for name, difference in moved.items():
        assert difference.value == pytest.approx(now[name].value - then[name].value), name
    for name in ("centroid_accuracy", "silhouette", "cosine_gap"):
        assert moved[name].low > 0, name
        assert now[name].low < then[name].high, f"{name}: unpaired, the intervals overlap"
    for name, same in estimates(before, before, "difference").items():
        assert same.value == 0, name
        assert name in FARTHEST or same.low == -same.high, name


def test_every_interval_holds_its_value() -> None:
    for name, found in measured(clouds(1), clouds(1, seed=1), resamples=200).items():
        if name in FARTHEST:
            assert np.isnan([found.low, found.high]).all(), name
        else:
            assert found.low < found.value < found.high, name


# Single measures


def test_cosines_worked_example() -> None:
    vectors = np.array([[1.0, 0], [1, 0], [0, 1], [np.sqrt(0.5)] * 2])
    labels = np.array(["a", "a", "b", "b"])
    found = sep.cosines(vectors @ vectors.T, labels, np.ones((1, 4)))
    assert found["cosine_within"] == pytest.approx((1 + np.sqrt(0.5)) / 2)
    assert found["cosine_between"] == pytest.approx((0 + 0 + np.sqrt(0.5) * 2) / 4)


def test_coding_rate_by_hand_and_by_either_gram_matrix() -> None:
    assert coding_rate(np.eye(2)) == pytest.approx(0.5 * 2 * np.log(1 + 2 / (2 * 0.1)))
    wide = np.random.default_rng(0).normal(size=(5, 9))
    assert coding_rate(wide) == pytest.approx(rate(wide))
    assert coding_rate(wide.T) == pytest.approx(rate(wide.T))


def test_effective_rank_counts_equal_directions() -> None:
    once = np.ones((1, 12))
    for rank in (1, 3, 12):
        turned = np.eye(12)[np.arange(12) % rank]
        assert effective_rank(turned, once) == pytest.approx(rank)


def test_hausdorff_is_scipys() -> None:
    vectors, labels = clouds(2, per=5)
    mixed = np.random.default_rng(0).permutation(15)
    vectors, labels = vectors[mixed], labels[mixed]
    lengths = np.linalg.norm(vectors[:, None] - vectors, axis=2)
    found = hausdorff(lengths, labels)
    for one, other in product(range(3), repeat=2):
        sets = [vectors[labels == "abc"[concept]] for concept in (one, other)]
        ways = directed_hausdorff(*sets)[0], directed_hausdorff(*sets[::-1])[0]
        assert found[one, other] == pytest.approx(max(ways))


def test_the_silhouettes_jackknife_leaves_each_text_out() -> None:
    """A text alone in its concept, and one of a pair, too."""
    vectors = np.random.default_rng(0).normal(size=(12, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = np.array(list("aaaaabbbbccd"))
    without = [
        silhouette_samples(vectors[kept], labels[kept], metric="cosine").mean()
        for kept in ~np.eye(12, dtype=bool)
    ]
    found = sep.silhouette_influence(vectors @ vectors.T, labels)
    np.testing.assert_allclose(found, np.mean(without) - without, atol=1e-12)


def test_pairs_of_concepts_are_named_and_mean_what_the_whole_means() -> None:
    train, test = clouds(3), clouds(3, seed=1, per=6)
    counts = draw_resamples(18, 20, seed=0)
    pairs = sep.pairs_of_concepts(train[0], test, counts)
    assert set(pairs) == set(combinations_with_replacement("abc", 2))
    assert "hausdorff" not in pairs["a", "a"]
    whole = measured(train, test)
    for name in ("angle", "l1", "l2_scaled", "pearson", "hausdorff"):
        of_pairs = [pairs[pair][name].value for pair in combinations("abc", 2)]
        assert whole[name].value == pytest.approx(np.mean(of_pairs)), name
    unit = test[0] - train[0].mean(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    own = unit[:6] @ unit[:6].T
    assert pairs["a", "a"]["cosine"].value == pytest.approx((own.sum() - 6) / 30)
    assert pairs["a", "a"]["cosine"].value > pairs["a", "b"]["cosine"].value


# Odd inputs


def test_identical_vectors_are_defined() -> None:
    """The prompt's end of the embeddings is one vector for all texts."""
    same, labels = np.ones((12, 4)), np.repeat(["a", "b", "c"], 4)
    numbers = measured((same, labels), (same, labels))
    found = {name: number.value for name, number in numbers.items()}
    assert found.keys() == NAMES
    assert found.pop("centroid_accuracy") == pytest.approx(1 / 3)
    assert found.pop("knn_accuracy") == found.pop("probe_accuracy") == pytest.approx(1 / 3)
    assert (found.pop("angle"), found.pop("effective_rank")) == (90, 1)
    assert set(found.values()) == {0}


def test_collinear_vectors_are_defined() -> None:
    line = np.outer(np.arange(1.0, 13), np.ones(4))
    labels = np.repeat(["a", "b", "c"], 4)
    found = measured((line, labels), (line, labels))
    assert found.keys() == NAMES
    assert found["effective_rank"].value == pytest.approx(1)
    assert found["cosine_within"].value == pytest.approx((6 + 6 + 2 - 4) / 18)


@given(st.integers(0, 1000))
def test_held_out_texts_that_are_all_the_same_are_no_clusters(seed: int) -> None:
    """Equal texts are at distance 0, and not at what rounding makes of it."""
    same = np.tile(np.random.default_rng(seed).normal(size=12), (9, 1))
    found = measured(clouds(3, per=4), (same, np.repeat(["a", "b", "c"], 3)), resamples=10)
    assert found["silhouette"].value == found["silhouette_shuffled"].value == 0
    assert found["cosine_gap"].value == pytest.approx(0)
    assert found["hausdorff"].value == 0


def test_one_concept_has_no_other() -> None:
    vectors, labels = clouds(3)[0], np.full(120, "a")
    found = measured((vectors, labels), (vectors, labels))
    assert found.keys() == OF_ONE_TEXT | OF_TWO_TEXTS_OF_A_CONCEPT
    assert found["probe_accuracy"].value == found["knn_accuracy"].value == 1
    assert found["silhouette"].value == found["coding_rate_gap"].value == 0
    assert found["cosine_within"].value == pytest.approx(plain_within(vectors))


def plain_within(vectors: NDArray[np.float64]) -> float:
    z = vectors - vectors.mean(0)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    return float(np.mean([z[i] @ z[j] for i, j in combinations(range(len(z)), 2)]))


def test_one_text_is_no_pair() -> None:
    train = clouds(3)
    found = measured(train, (train[0][:1], train[1][:1]))
    assert found.keys() == OF_ONE_TEXT
    assert found["silhouette"].value == 0
    assert found["effective_rank"].value == pytest.approx(1)
    one_each = measured(train, (train[0][::40], train[1][::40]))
    assert one_each.keys() == OF_ONE_TEXT | OF_TWO_CONCEPTS
    assert np.isfinite(one_each["cosine_between"].value)
    assert one_each["silhouette"].value == 0


def test_fewer_training_texts_than_neighbours_all_vote_and_ties_fall_to_the_first_name() -> None:
    seen, known = np.array([[1.0, 0], [0, 1]]), np.array(["b", "a"])
    assert list(sep.nearest_texts(seen, known, seen, 9)) == ["a", "a"]
    assert list(sep.nearest_texts(seen, known, np.array([[1.0, 1]]), 1)) == ["b"], "the first text"


def test_a_concept_that_training_never_showed_is_never_read_right() -> None:
    (train, known), test = clouds(20), clouds(20, seed=1)
    seen = known != "c"
    found = measured((train[seen], known[seen]), test)
    assert found["probe_accuracy"].value == found["knn_accuracy"].value == pytest.approx(2 / 3)


# The linear probe


@pytest.mark.parametrize("concepts", ["ab", "abc"])
def test_the_probe_is_scikit_learns(concepts: str) -> None:
    vectors, labels = clouds(1.5)
    kept = np.isin(labels, list(concepts))
    vectors, labels = vectors[kept], labels[kept]
    expected = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=1000))
    expected.fit(vectors, labels)
    probe = fit_probe(vectors, labels)
    new = clouds(1.5, seed=1)[0]
    assert (probe.predict(new) == expected.predict(new)).all()
    scores = probe.scores(new)
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    shares = exponentials / exponentials.sum(1, keepdims=True)
    np.testing.assert_allclose(shares, expected.predict_proba(new), atol=1e-9)


def test_a_hundred_concepts_have_each_a_mean() -> None:
    """And no library takes names for numbers; warnings are errors."""
    seen, names = np.eye(100), np.array([f"c{n}" for n in range(100)])
    assert sep.nearest_centroid(seen, names, seen).tolist() == names.tolist()
