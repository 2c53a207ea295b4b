"""Resamples of texts (the bootstrap), from which intervals are made.

A resample is given by how often it holds each text, so that one matrix product weighs all of them.
Row 0 holds every text once: a statistic's value on it is the statistic itself. What chance alone
gives is the same statistic under permuted labels.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pipeline.core.random_streams import RandomStream, rng_of
from pipeline.core.text_identity import normalised

Counts = NDArray[np.float64]
Vector = NDArray[np.floating]


def draw_resamples(count: int, number: int, seed: int) -> Counts:
    """How often each resample, drawn with replacement, holds each text: [1 + number, count]."""
    drawn = rng_of(RandomStream.RESAMPLES, seed).integers(count, size=(number, count))
    counts = [np.bincount(texts, minlength=count) for texts in drawn]
    return np.vstack([np.ones(count), *counts])


def draw_prompts(prompts: Iterable[str], number: int, seed: int) -> Counts:
    """As draw_resamples, but drawn by prompt: texts that share one, to a reader, come and go
    together."""
    numbers: dict[str, int] = {}
    of_texts = [numbers.setdefault(normalised(prompt), len(numbers)) for prompt in prompts]
    return draw_resamples(len(numbers), number, seed)[:, of_texts]


def draw_labellings(labels: NDArray[np.str_], number: int, seed: int) -> NDArray[np.str_]:
    """The labels [N] as they are, and permuted: [1 + number, N]."""
    rng = rng_of(RandomStream.LABELLINGS, seed)
    return np.stack([labels, *(rng.permutation(labels) for _ in range(number))])


def linearised(
    value: NDArray[np.float64] | float, influence: NDArray[np.float64], counts: Counts
) -> NDArray[np.float64]:
    """A smooth statistic on resamples, to first order.

    influence: [N, ...], what one text more or less does to the statistic [...]: its derivative by
    how often the text is held (the infinitesimal jackknife, Efron 1982) or, where a single text
    does much, the difference that leaving it out makes (the jackknife). No resample is computed
    anew, and repeats of a text do not shift the statistic: [R, ...].
    """
    resampled: NDArray[np.float64] = value + np.tensordot(counts - 1, influence, axes=1)
    return resampled


def resampled_mean(values: Vector, counts: Counts) -> Vector:
    """The mean of per-text values [N] on resamples [1 + number]; NaN where one holds no text."""
    with np.errstate(invalid="ignore"):
        means: Vector = counts @ values / counts.sum(1)
    return means


def prompts_in(counts: Counts) -> int:
    """How many texts come and go by themselves: those of one prompt always do so together."""
    return len({text.tobytes() for text in np.ascontiguousarray(counts.T)})
