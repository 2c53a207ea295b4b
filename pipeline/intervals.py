"""How sure a number is: bootstrap intervals of any statistic of texts."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Estimate:
    """A statistic of N texts and its 95 % percentile-bootstrap interval."""

    value: float
    low: float
    high: float

    def as_tree(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


def bootstrap(
    statistic: Callable[[Indices], float],
    count: int,
    resamples: int,
    seed: int,
    biased: bool = False,
) -> Estimate:
    """Estimate a statistic of `count` texts, given as a function of their indices [count].

    Texts are resampled with replacement. A statistic that is undefined on a resample (only one
    concept drawn, say) may return NaN there: such resamples are left out. A `biased` statistic is
    one that repeated texts shift, such as a rank: its interval is moved back by the mean shift.
    Raises ValueError where no resample defines it.
    """
    rng = np.random.default_rng([seed, 6])
    draws = (rng.integers(count, size=count) for _ in range(resamples))
    values = np.array([statistic(draw) for draw in draws])
    values = values[np.isfinite(values)]
    if not len(values):
        raise ValueError("the statistic is undefined on every resample")
    value = float(statistic(np.arange(count)))
    low, high = np.percentile(values, [2.5, 97.5]) - (values.mean() - value if biased else 0.0)
    return Estimate(value, float(low), float(high))


def bootstrap_mean(values: NDArray[np.floating], resamples: int, seed: int) -> Estimate:
    """The mean of per-text values [N] and its interval."""
    return bootstrap(lambda drawn: float(values[drawn].mean()), len(values), resamples, seed)
