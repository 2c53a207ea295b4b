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

from pipeline.intervals import Estimate, Indices, bootstrap, bootstrap_mean

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
    return Separation(
        centroid_accuracy=bootstrap_mean(by_centroid.astype(float), resamples, seed),
        knn_accuracy=bootstrap_mean(by_neighbours.astype(float), resamples, seed),
        silhouette=bootstrap_mean(silhouettes(vectors, labels), resamples, seed),
        cosine_within=bootstrap(
            lambda drawn: cosines(vectors[drawn], labels[drawn], drawn)[0],
            len(labels), resamples, seed,
        ),
        cosine_between=bootstrap(
            lambda drawn: cosines(vectors[drawn], labels[drawn], drawn)[1],
            len(labels), resamples, seed,
        ),
        coding_rate_gap=bootstrap(
            lambda drawn: coding_rate_gap(vectors[drawn], labels[drawn]),
            len(labels), max(10, resamples // 10), seed, biased=True,
        ),
    )  # fmt: skip


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


def cosines(vectors: Vectors, labels: Labels, texts: Indices) -> tuple[float, float]:
    """Mean cosine over pairs of distinct texts within and between concepts.

    vectors: [N, D] of length 1. texts: [N], which text each row is: in a bootstrap resample a
    text may stand twice, and is never paired with itself. NaN where there is no such pair.
    """
    similarity = vectors @ vectors.T
    distinct = texts[:, None] != texts[None, :]
    same = labels[:, None] == labels[None, :]
    within, between = similarity[same & distinct], similarity[~same]
    return (
        float(within.mean()) if within.size else float("nan"),
        float(between.mean()) if between.size else float("nan"),
    )


def coding_rate_gap(vectors: Vectors, labels: Labels, precision: float = 0.1) -> float:
    """R_diff - R_same in nats (arXiv 2006.08558): the code length saved by knowing the concept.

    Columns are scaled to unit norm over the texts; `precision` is the epsilon of the definition.
    """
    columns = normalize(vectors, axis=0)
    apart = sum(
        (labels == concept).sum() / len(labels) * coding_rate(columns[labels == concept], precision)
        for concept in sorted(set(labels))
    )
    return float(coding_rate(columns, precision) - apart)


def coding_rate(columns: Vectors, precision: float) -> float:
    """1/2 logdet(I + D / (N eps) Z'Z), from whichever Gram matrix is the smaller."""
    count, width = columns.shape
    gram = columns.T @ columns if width <= count else columns @ columns.T
    scaled = np.eye(len(gram)) + width / (count * precision) * gram
    return float(0.5 * np.linalg.slogdet(scaled)[1])
