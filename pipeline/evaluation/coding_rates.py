"""How much room representations take: coding rates and the effective rank."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.representations import Labels, Vectors
from pipeline.evaluation.bootstrap import Counts, linearised

PRECISION = 0.1  # the epsilon of the coding rate


@dataclass(frozen=True)
class CodingRates:
    """Of all texts, and the mean over concepts weighted by their texts, in nats."""

    all: Vectors
    within: Vectors

    @property
    def gap(self) -> Vectors:
        """What knowing the concept saves (arXiv 2006.08558)."""
        return self.all - self.within


def coding_rates(vectors: Vectors, labels: Labels, counts: Counts) -> CodingRates:
    """The coding rates of texts [N, D] on resamples [R, N], by the jackknife: [R] each."""
    columns = unit_columns(vectors)
    every, influence = _rate_and_influence(columns, np.ones(len(labels), dtype=bool))
    within, influence_within = 0.0, np.zeros(len(labels))
    for concept in np.unique(labels):
        own = labels == concept
        rate, own_influence = _rate_and_influence(columns, own)
        within += own.mean() * rate
        influence_within += own.mean() * own_influence + own * rate / len(labels)
    return CodingRates(
        linearised(every, influence - influence.mean(), counts),
        linearised(within, influence_within - influence_within.mean(), counts),
    )


def coding_rates_of_labellings(vectors: Vectors, labellings: Labels) -> CodingRates:
    """The coding rates under each of many permuted labels [P, N] of texts [N, D]: [P] each."""
    columns = unit_columns(vectors)
    within = np.zeros(len(labellings))
    for concept in np.unique(labellings):
        own = labellings == concept
        texts = np.nonzero(own)[1].reshape(len(own), -1)  # permuting keeps a concept's size
        within += own[0].mean() * coding_rate(columns[texts])
    return CodingRates(np.full(len(labellings), coding_rate(columns)), within)


def unit_columns(vectors: Vectors) -> Vectors:
    """Columns scaled to length 1 over the texts; a zero column stays zero."""
    norms = np.linalg.norm(vectors, axis=0)
    scaled: Vectors = vectors / np.where(norms > 0, norms, 1.0)
    return scaled


def coding_rate(columns: Vectors) -> Vectors:
    """R = 1/2 logdet(I + D / (N eps) Z'Z) of texts Z [..., N, D], in nats, from whichever Gram
    matrix is the smaller: [...]."""
    rate: Vectors = 0.5 * np.linalg.slogdet(_smaller_gram(columns))[1]
    return rate


def effective_rank(vectors: Vectors, counts: Counts) -> Vectors:
    """exp of the entropy of the spectrum of Z'Z / trace, in [1, D], on resamples: [R].

    vectors: Z [N, D], centred and of length 1. The entropy is the mean over texts of the surprisal
    -z' log(Z'Z / trace) z; a resample weighs the surprisals, to first order as if computed anew.
    """
    spectrum, axes = np.linalg.eigh(vectors.T @ vectors / max((vectors**2).sum(), 1e-300))
    logarithms = np.log(np.maximum(spectrum, 1e-15))  # texts have no part in empty directions
    surprisal = -((vectors @ axes) ** 2) @ logarithms
    held = counts @ (vectors**2).sum(1)
    ranks: Vectors = np.exp(counts @ surprisal / np.where(held > 0, held, 1.0))
    return ranks


def _smaller_gram(columns: Vectors, number: int = 0) -> Vectors:
    """I + D / (N eps) times Z'Z or ZZ', which have the same determinant. number: N, where it is not
    how many texts there are."""
    texts, width = columns.shape[-2:]
    turned = columns.swapaxes(-1, -2)
    gram = turned @ columns if width <= texts else columns @ turned
    shifted: Vectors = np.eye(gram.shape[-1]) + width / ((number or texts) * PRECISION) * gram
    return shifted


def _rate_and_influence(columns: Vectors, own: NDArray[np.bool_]) -> tuple[float, Vectors]:
    """The coding rate of the texts that `own` [N] names, and what each text adds to it [N]: a text
    of theirs by being there, any text by lengthening the columns.

    What a text adds by being there is the rate less that without it, which is
    1/2 logdet(I + b Z'Z) + 1/2 log(1 - part) with the b of one text fewer; `part`, in [0, 1], is
    how much of the rate the text explains: the diagonal of b Z (I + b Z'Z)^-1 Z'. It is no
    derivative: where texts are fewer than dimensions, a single one explains much. Of a column's
    length, which hardly depends on a single text, the derivative will do.
    """
    texts = columns[own]
    number, width = texts.shape
    rate = 0.5 * float(np.linalg.slogdet(_smaller_gram(texts))[1])
    fewer = max(number - 1, 1)
    gram, scale = _smaller_gram(texts, fewer), width / (fewer * PRECISION)
    inverse = np.linalg.inv(gram)
    if width <= number:
        part_of_text = scale * ((texts @ inverse) * texts).sum(1)
        part_of_column = 1 - np.diag(inverse)
    else:
        part_of_text = 1 - np.diag(inverse)
        part_of_column = scale * ((inverse @ texts) * texts).sum(0)
    left = 0.5 * (np.linalg.slogdet(gram)[1] + np.log1p(-np.minimum(part_of_text, 1 - 1e-12)))
    influence = -0.5 * columns**2 @ part_of_column
    influence[own] += rate - left
    return rate, influence
