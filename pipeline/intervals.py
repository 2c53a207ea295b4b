"""How sure a number is: 95 % percentile-bootstrap intervals of any statistic of texts.

A resample is told by how often it holds each text, so that one matrix product weighs them all.
Row 0 holds every text once: a statistic's value on it is the statistic itself.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    drawn = np.random.default_rng([seed, 6]).integers(count, size=(number, count))
    counts = [np.bincount(texts, minlength=count) for texts in drawn]
    return np.vstack([np.ones(count), *counts])


def estimate(values: Vector, biased: bool = False) -> Estimate:
    """A statistic's value and interval from its values on resamples [1 + number].

    A statistic that is undefined on a resample (only one concept drawn, say) may be NaN there:
    such resamples are left out. A `biased` statistic is one that repeated texts shift, such as a
    rank: its interval is moved back by the mean shift.
    Raises ValueError where the statistic is undefined on the texts as they are.
    """
    value, resampled = float(values[0]), values[1:]
    if not np.isfinite(value):
        raise ValueError("the statistic is undefined on these texts")
    defined = resampled[np.isfinite(resampled)]
    low, high = np.percentile(defined, [2.5, 97.5]) if len(defined) else (value, value)
    shift = float(defined.mean()) - value if biased and len(defined) else 0.0
    return Estimate(value, float(low) - shift, float(high) - shift)


def estimate_mean(values: Vector, counts: Counts) -> Estimate:
    """The mean of per-text values [N]."""
    return estimate(counts @ values / len(values))
