"""How far concepts gather and part in a representation, on held-out texts.

Vectors are centred by the mean of the training texts before any cosine, coding rate or rank, where
the definitions take them raw: hidden states share a few large directions, which would push every
raw cosine towards 1 and every angle towards 0. Coding rates and the rank are of the centred vectors
at length 1, so that no norm enters.

Intervals resample prompts. Accuracies resample what each text got; means over pairs and the rank
follow to first order, coding rates and the silhouette by the jackknife: in what it adds to both, a
text also changes what other texts get.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import pairwise_distances_argmin
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import normalize

from pipeline.core.files import KeyPath
from pipeline.core.representations import Labels, Vectors, centre_and_scale
from pipeline.evaluation.bootstrap import Counts, Vector, draw_labellings, linearised
from pipeline.evaluation.coding_rates import (
    coding_rates,
    coding_rates_of_labellings,
    effective_rank,
)
from pipeline.evaluation.distances import (
    FARTHEST,
    between,
    concept_distances,
    pair_sum_influence,
    ratios,
)
from pipeline.evaluation.intervals import Estimate, Statistic, estimate_defined, share_of
from pipeline.evaluation.linear_probe import Probe

# What permuted labels give is computed anew for each of them: one for ten resamples.
LABELLINGS_ONE_IN = 10


@dataclass(frozen=True)
class Separation:
    """Statistics of held-out texts on resamples [R], and (`chance`) under permuted concepts [P], of
    which the first are the concepts as they are."""

    resampled: Mapping[str, Statistic | Vector]
    chance: Mapping[str, Vector]


def separation(
    train: tuple[Vectors, Labels],
    held_out: tuple[Vectors, Labels],
    probe: Probe,
    neighbours: int,
    counts: Counts,
    seed: int,
) -> Separation:
    """Measure held-out texts [N, D] against training texts of the same layer and position.

    probe: fitted on the training texts. counts: [R, N], how often each resample holds each held-out
    text.
    """
    (seen, known), (vectors, labels) = train, held_out
    labellings = draw_labellings(labels, len(counts) // LABELLINGS_ONE_IN, seed)
    centre, scale = centre_and_scale(seen)
    unit_seen, unit = normalize(seen - centre), normalize(vectors - centre)
    similarity = unit @ unit.T
    silhouette = silhouettes(similarity, labellings).mean(1)
    rates = coding_rates(unit, labels, counts)
    right = {
        "centroid_accuracy": nearest_centroid(unit_seen, known, unit) == labels,
        "knn_accuracy": nearest_texts(unit_seen, known, unit, neighbours) == labels,
        "probe_accuracy": probe.correct(vectors, labels),
    }
    apart = between(concept_distances(vectors - centre, labels, scale, counts))
    resampled: dict[str, Statistic | Vector] = {
        **{name: share_of(values, counts) for name, values in right.items()},
        "silhouette": linearised(silhouette[0], silhouette_influence(similarity, labels), counts),
        **{name: values for name, values in apart.items() if name != "cosine"},
        **cosines(similarity, labels, counts),
        "coding_rate_all": rates.all,
        "coding_rate_within": rates.within,
        "coding_rate_gap": rates.gap,
        "effective_rank": effective_rank(unit, counts),
    }
    chance = {
        "silhouette": silhouette,
        "cosine_gap": cosine_gaps(similarity, labellings),
        "coding_rate_gap": coding_rates_of_labellings(unit, labellings).gap,
    }
    return Separation(resampled, chance)


def pairs_of_concepts(
    seen: Vectors, held_out: tuple[Vectors, Labels], counts: Counts
) -> dict[KeyPath, dict[str, Estimate]]:
    """Every distance of every two concepts, by both of their names in order, and within each."""
    centre, scale = centre_and_scale(seen)
    vectors, labels = held_out
    distances = concept_distances(vectors - centre, labels, scale, counts)
    concepts = np.unique(labels)
    return {
        (str(concepts[one]), str(concepts[other])): estimate_defined(
            {
                name: values[:, one, other]
                for name, values in distances.items()
                if one != other or name not in FARTHEST  # a concept is no distance from itself
            }
        )
        for one, other in zip(*np.triu_indices(len(concepts)), strict=True)
    }


def nearest_centroid(seen: Vectors, known: Labels, vectors: Vectors) -> Labels:
    """The concept of the nearest mean of `seen` [M, D], for each vector [N, D].

    Unlike scikit-learn's NearestCentroid it is also defined where all vectors are the same, as at
    the prompt's end of the embeddings.
    """
    concepts = np.unique(known)
    means = np.stack([seen[known == concept].mean(0) for concept in concepts])
    nearest: Labels = concepts[pairwise_distances_argmin(vectors, means)]
    return nearest


def nearest_texts(seen: Vectors, known: Labels, vectors: Vectors, neighbours: int) -> Labels:
    """The concept of most of the nearest `seen` [M, D], for each vector [N, D]. Among vectors of
    length 1 the nearest are those of the smallest angle."""
    nearest = KNeighborsClassifier(min(neighbours, len(seen)), algorithm="brute").fit(seen, known)
    predicted: Labels = nearest.predict(vectors)
    return predicted


def silhouettes(similarity: Vectors, labellings: Labels) -> Vectors:
    """Cosine silhouette of each text, in [-1, 1], from the cosines [N, N], under each labelling
    [P, N]: [P, N]. 0 for a text alone in its concept, and where there is one concept."""
    member, towards = _towards_concepts(similarity, labellings)
    sizes = member.sum(0)
    away = (sizes - towards).round(12)  # of equal texts nothing but rounding would be left
    itself = 1 - np.diag(similarity)[:, None]  # of a zero vector, which has no direction, not 0
    others = (sizes * member).sum(2) - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        inner = ((away * member).sum(2) - itself).round(12) / others
        outer = np.where(member, np.inf, away / sizes).min(2)
    return _silhouette(inner, outer).T


def silhouette_influence(similarity: Vectors, labels: Labels) -> Vectors:
    """What each text adds to the mean silhouette, less what a text adds on average: [N].

    The jackknife: the mean without each text in turn. So it counts what a text gets, and what it
    does to others as their neighbour.
    """
    member = labels[:, None] == np.unique(labels)
    away = (1 - similarity).round(12)
    np.fill_diagonal(away, 0.0)
    sums, sizes = away @ member, member.sum(0)

    def mean_without(text: int) -> float:
        kept = np.arange(len(labels)) != text
        own, rest = member[kept], sizes - member[text]
        to_concepts = sums[kept] - away[kept, text, None] * member[text]
        with np.errstate(invalid="ignore", divide="ignore"):
            inner = to_concepts[own] / (rest - 1)[own.argmax(1)]
            outer = np.where(own | (rest == 0), np.inf, to_concepts / rest).min(1)
        return float(_silhouette(inner, outer).mean())

    if len(labels) < 2:
        return np.zeros(len(labels))
    without = np.array([mean_without(text) for text in range(len(labels))])
    influence: Vectors = without.mean() - without
    return influence


def _silhouette(inner: Vectors, outer: Vectors) -> Vectors:
    """From a text's mean distance to its own concept and to the nearest other one."""
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.where(np.isfinite(inner) & np.isfinite(outer), outer - inner, 0.0)
        found: Vectors = np.nan_to_num(apart / np.maximum(inner, outer))
    return found


def cosines(similarity: Vectors, labels: Labels, counts: Counts) -> dict[str, Vectors]:
    """Mean cosine over pairs of distinct texts of one concept, and of two, from the cosines [N, N]:
    [R] each, on resamples to first order."""
    sums, numbers = (
        pair_sum_influence(of, labels) for of in (similarity, np.ones_like(similarity))
    )
    own = np.eye(sums.shape[1], dtype=bool)
    within, apart = (
        ratios(sums[:, kind].sum(1), numbers[:, kind].sum(1), counts) for kind in (own, ~own)
    )
    return {"cosine_within": within, "cosine_between": apart, "cosine_gap": within - apart}


def cosine_gaps(similarity: Vectors, labellings: Labels) -> Vectors:
    """Mean cosine within less between concepts under each labelling [P, N]: [P]."""
    member, towards = _towards_concepts(similarity, labellings)
    itself = np.trace(similarity)
    within, every = (towards * member).sum((0, 2)) - itself, similarity.sum() - itself
    texts = len(similarity)
    pairs, every_pair = (member.sum(0) ** 2).sum(1) - texts, texts**2 - texts
    with np.errstate(invalid="ignore", divide="ignore"):
        gaps: Vectors = within / pairs - (every - within) / (every_pair - pairs)
    return gaps


def _towards_concepts(similarity: Vectors, labellings: Labels) -> tuple[Vectors, Vectors]:
    """Which concept each text is of, and the sum of its cosines with each concept's: [N, P, C]."""
    member = (labellings.T[:, :, None] == np.unique(labellings)).astype(np.float64)
    towards: Vectors = (similarity @ member.reshape(len(member), -1)).reshape(member.shape)
    return member, towards
