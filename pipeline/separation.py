"""How far concepts gather and part in a representation (METHOD: separation), on held-out texts.

Vectors are centred by the mean of the training texts before any cosine: hidden states share a few
directions of large variance, which would push every raw cosine towards 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import silhouette_samples
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import normalize

from pipeline.intervals import Counts, Estimate, draw_resamples, estimate, estimate_mean

Vectors = NDArray[np.float64]
Labels = NDArray[np.str_]


@dataclass(frozen=True)
class Separation:
    """Each number with its interval; accuracies and cosines in [0, 1] and [-1, 1]."""

    centroid_accuracy: Estimate
    knn_accuracy: Estimate
    silhouette: Estimate
    cosine_within: Estimate
    cosine_between: Estimate
    coding_rate_gap: Estimate

    def as_tree(self) -> dict[str, dict[str, float]]:
        return {name: estimate.as_tree() for name, estimate in vars(self).items()}


def separation(
    train: tuple[Vectors, Labels],
    held_out: tuple[Vectors, Labels],
    neighbours: int,
    resamples: int,
    seed: int,
) -> Separation:
    """Measure held-out texts [N, D] against training texts of the same layer and position."""
    centre = train[0].mean(0)
    seen, known = unit(train[0] - centre), train[1]
    vectors, labels = unit(held_out[0] - centre), held_out[1]
    by_centroid = nearest_centroid(seen, known, vectors) == labels
    nearest = KNeighborsClassifier(min(neighbours, len(seen)), metric="cosine", algorithm="brute")
    by_neighbours = nearest.fit(seen, known).predict(vectors) == labels
    counts = draw_resamples(len(labels), resamples, seed)
    within, between = cosines(vectors, labels, counts)
    gaps = coding_rate_gap(vectors, labels, counts[: 1 + resamples // 10])
    return Separation(
        centroid_accuracy=estimate_mean(by_centroid.astype(float), counts),
        knn_accuracy=estimate_mean(by_neighbours.astype(float), counts),
        silhouette=estimate_mean(silhouettes(vectors, labels), counts),
        cosine_within=estimate(within),
        cosine_between=estimate(between),
        coding_rate_gap=estimate(gaps, biased=True),
    )


def nearest_centroid(seen: Vectors, known: Labels, vectors: Vectors) -> Labels:
    """The concept of the nearest mean of `seen` [M, D], for each vector [N, D].

    One neighbour among the means: unlike scikit-learn's NearestCentroid it is also defined where
    all vectors are the same, as at the prompt's end of the embeddings.
    """
    concepts = np.unique(known)
    means = np.stack([seen[known == concept].mean(0) for concept in concepts])
    predicted: Labels = KNeighborsClassifier(1).fit(means, concepts).predict(vectors)
    return predicted


def unit(vectors: Vectors) -> Vectors:
    """Vectors [N, D] scaled to length 1; a zero vector stays zero."""
    scaled: Vectors = normalize(vectors)
    return scaled


def silhouettes(vectors: Vectors, labels: Labels) -> Vectors:
    """Cosine silhouette of each text, in [-1, 1]; 0 where there are fewer than two concepts, or
    no concept with two texts."""
    concepts = len(set(labels))
    if not 2 <= concepts < len(labels):
        return np.zeros(len(labels))
    values: Vectors = silhouette_samples(vectors, labels, metric="cosine")
    return values


def cosines(vectors: Vectors, labels: Labels, counts: Counts) -> tuple[Vectors, Vectors]:
    """Mean cosine over pairs of distinct texts within and between concepts: [R] each.

    vectors: [N, D] of length 1. counts: [R, N], how often each resample holds each text; a text
    is never paired with itself. NaN where a resample has no such pair.
    """
    similarity = vectors @ vectors.T
    same = labels[:, None] == labels[None, :]
    kinds = same & ~np.eye(len(labels), dtype=bool), ~same

    def over_pairs(of_pairs: Vectors) -> Vectors:
        total: Vectors = ((counts @ of_pairs) * counts).sum(1)
        return total

    with np.errstate(invalid="ignore"):
        within, between = (over_pairs(similarity * kind) / over_pairs(1.0 * kind) for kind in kinds)
    return within, between


def coding_rate_gap(
    vectors: Vectors, labels: Labels, counts: Counts, precision: float = 0.1
) -> Vectors:
    """R_diff - R_same in nats (arXiv 2006.08558): the code length saved by knowing the concept.

    vectors: [N, D]. counts: [R, N], how often each resample holds each text. One gap a resample:
    [R]. Columns are scaled to unit norm over a resample's texts; `precision` is the epsilon of the
    definition.
    """
    norms = np.sqrt(counts @ vectors**2)  # [R, D]
    columns = vectors / np.where(norms > 0, norms, 1.0)[:, None, :]  # [R, N, D]
    apart = np.zeros(len(counts))
    for concept in np.unique(labels):
        own = labels == concept
        shares = counts[:, own].sum(1) / counts.sum(1)
        apart += shares * coding_rate(columns[:, own], counts[:, own], precision)
    gaps: Vectors = coding_rate(columns, counts, precision) - apart
    return gaps


def coding_rate(columns: Vectors, counts: Counts, precision: float) -> Vectors:
    """1/2 logdet(I + D / (N eps) Z'Z) of each resample's texts, from whichever Gram matrix is the
    smaller; 0 where a resample holds none.

    columns: [R, N, D]; counts: [R, N], how often each resample holds each text.
    """
    texts, width = columns.shape[1:]
    weighted = columns * np.sqrt(counts)[:, :, None]
    turned = weighted.swapaxes(1, 2)
    gram = turned @ weighted if width <= texts else weighted @ turned
    held = np.maximum(counts.sum(1), 1.0)
    scaled = np.eye(gram.shape[1]) + (width / (held * precision))[:, None, None] * gram
    rates: Vectors = 0.5 * np.linalg.slogdet(scaled)[1]
    return rates
