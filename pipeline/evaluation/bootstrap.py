"""How sure a number is: 95 % percentile-bootstrap intervals of any statistic of texts.

A resample is given by how often it holds each text, so that one matrix product weighs all of them.
Row 0 holds every text once: a statistic's value on it is the statistic itself. What chance alone
gives is the same statistic under permuted labels.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.random_streams import RandomStream, rng_of
from pipeline.core.text_identity import normalised

Counts = NDArray[np.float64]
Vector = NDArray[np.floating]


@dataclass(frozen=True)
class Estimate:
    """A statistic of N texts and its 95 % interval."""

    value: float
    low: float
    high: float

    def as_tree(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


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
    """A smooth statistic on resamples, to first order (the infinitesimal jackknife, Efron 1982).

    influence: [N, ...], the derivative of the statistic [...] by how often a text is held. No
    resample is computed anew, and repeats of a text do not shift the statistic: [R, ...].
    """
    resampled: NDArray[np.float64] = value + np.tensordot(counts - 1, influence, axes=1)
    return resampled


def estimate(values: Vector, biased: bool = False) -> Estimate:
    """A statistic's value and interval from its values on resamples [1 + number].

    A statistic that is undefined on a resample (only one concept drawn, say) may be NaN there:
    such resamples are left out. A `biased` statistic is one that repeated or missing texts
    shift, such as a maximum: its interval is moved back by the mean shift.
    Raises ValueError where the statistic is undefined on the texts as they are.
    """
    value, resampled = float(values[0]), values[1:]
    if not np.isfinite(value):
        raise ValueError("the statistic is undefined on these texts")
    defined = resampled[np.isfinite(resampled)]
    low, high = np.percentile(defined, [2.5, 97.5]) if len(defined) else (value, value)
    shift = float(defined.mean()) - value if biased and len(defined) else 0.0
    return Estimate(value, float(low) - shift, float(high) - shift)


def resampled_mean(values: Vector, counts: Counts) -> Vector:
    """The mean of per-text values [N] on resamples [1 + number]."""
    means: Vector = counts @ values / counts.sum(1)
    return means


def estimate_mean(values: Vector, counts: Counts) -> Estimate:
    """The mean of per-text values [N]."""
    return estimate(resampled_mean(values, counts))


def estimate_defined(
    resampled: Mapping[str, Vector], biased: Collection[str] = ()
) -> dict[str, Estimate]:
    """The statistics that these texts define, by name; the others are left out."""
    return {
        name: estimate(values, name in biased)
        for name, values in resampled.items()
        if np.isfinite(values[0])
    }


def estimate_chance(values: Vector) -> Estimate:
    """What permuted labels give: the mean and 95 % range of a statistic of labellings [1 + number],
    of which the first is the labels as they are."""
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return Estimate(float(values[1:].mean()), float(low), float(high))


def as_tree(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    return {name: estimate.as_tree() for name, estimate in estimates.items()}
