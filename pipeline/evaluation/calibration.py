"""Whether probabilities are what they say: in one number, and bin by bin."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.core.representations import Flags, Vectors
from pipeline.evaluation.bootstrap import Counts
from pipeline.evaluation.intervals import share_of

BINS = 10  # of equal width, from 0 to 1


def bins_of(confidence: Vectors, bins: int = BINS) -> NDArray[np.int_]:
    """The number of each probability's bin: [N]. The last bin holds 1, too."""
    numbers: NDArray[np.int_] = np.minimum((confidence * bins).astype(int), bins - 1)
    return numbers


def calibration_error(
    confidence: Vectors, correct: Flags, counts: Counts, bins: int = BINS
) -> Vectors:
    """The mean gap between confidence and accuracy over equal-width bins (the expected calibration
    error), on resamples: [R]."""
    held = bins_of(confidence, bins)[:, None] == np.arange(bins)
    gaps = counts @ (held * (confidence - correct)[:, None])
    with np.errstate(invalid="ignore"):
        error: Vectors = np.abs(gaps).sum(1) / counts.sum(1)
    return error


def reliability(
    probability: Vectors, happened: Flags, counts: Counts
) -> Iterator[dict[str, float]]:
    """Every bin of probabilities that holds texts, from the lowest: where it begins, how many
    `texts` it holds, their mean `probability`, and the `share` of them of which it came true, with
    its interval.

    probability, happened: [N]; counts: [R, N].
    """
    numbers = bins_of(probability)
    for number in np.unique(numbers):
        held = numbers == number
        share = share_of(happened[held].astype(float), counts[:, held]).estimate()
        yield {
            "bin": float(number / BINS),
            "texts": int(held.sum()),
            "probability": float(probability[held].mean()),
            "share": share.value,
            "low": share.low,
            "high": share.high,
        }
