"""A statistic on resamples, and the 95 % interval that holds its true value about so often.

Which interval that is depends on the kind of statistic. How often each covers is measured by
`python -m benchmarks.coverage`; the true value is the mean over all samples of the same size.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from pipeline.evaluation.bootstrap import Counts, Vector, prompts_in, resampled_mean

REACH = float(norm.ppf(0.975))  # standard errors from a value to the end of its interval
Interval = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """A statistic's value and its 95 % interval, NaN where it has none."""

    value: float
    low: float = np.nan
    high: float = np.nan

    def as_tree(self) -> dict[str, float]:
        return {name: mark for name, mark in vars(self).items() if np.isfinite(mark)}


@dataclass(frozen=True)
class Statistic:
    """A statistic's value, followed by its values on R resamples: [1 + R].

    It may be NaN on a resample that leaves it undefined (only one concept drawn, say): such
    resamples are left out. Without resamples it has no interval. By default the interval is the
    percentile bootstrap's.
    """

    values: Vector

    @property
    def value(self) -> float:
        return float(self.values[0])

    @property
    def resampled(self) -> Vector:
        drawn = self.values[1:]
        return drawn[np.isfinite(drawn)]

    @property
    def is_defined(self) -> bool:
        return bool(np.isfinite(self.values[0]))

    def standard_error(self) -> float:
        return float(self.resampled.std()) if len(self.resampled) else 0.0

    def interval(self) -> Interval:
        if not len(self.resampled):
            return (np.nan, np.nan) if len(self.values) == 1 else (self.value, self.value)
        low, high = np.percentile(self.resampled, [2.5, 97.5])
        return float(low), float(high)

    def estimate(self) -> Estimate:
        """Raises ValueError where the statistic is undefined on the texts as they are."""
        if not self.is_defined:
            raise ValueError("the statistic is undefined on these texts")
        return Estimate(self.value, *self.interval())

    def as_change(self) -> dict[str, float]:
        """A difference as a tree, with its p value where it has an interval."""
        found = self.estimate().as_tree()
        return {**found, "p": self.p_value()} if "low" in found else found

    def p_value(self) -> float:
        """How often chance alone would put the value this far from 0, on either side; 1 where
        resamples do not differ, which say nothing of chance. Meant for differences."""
        error = self.standard_error()
        return float(2 * norm.sf(abs(self.value) / error)) if error > 0 else 1.0

    def __sub__(self, other: "Statistic") -> "Statistic":
        """The paired difference, resample by resample: what moves both alike cancels out."""
        return Statistic(self.values - other.values)


@dataclass(frozen=True)
class Proportion(Statistic):
    """A mean over texts of numbers in [0, 1], such as an accuracy. prompts: how many texts there
    are that tell something of their own.

    The interval is Wilson's, with as many texts as would give the resamples' standard error. It
    lies in [0, 1], and has a width where all texts are right, too.
    """

    prompts: int

    def interval(self) -> Interval:
        share, error = self.value, self.standard_error()
        variance = share * (1 - share)  # 0 where all are right, also where some resample's are not
        texts = variance / error**2 if variance > 0 and error > 0 else max(self.prompts, 1)
        middle = (share + REACH**2 / (2 * texts)) / (1 + REACH**2 / texts)
        reach = np.sqrt(share * (1 - share) / texts + (REACH / (2 * texts)) ** 2)
        reach = float(reach) * REACH / (1 + REACH**2 / texts)
        # Of a share of 0 or 1 that is one end, but for rounding.
        return min(share, max(0.0, middle - reach)), max(share, min(1.0, middle + reach))

    def __sub__(self, other: Statistic) -> Statistic:
        return ProportionChange(self.values - other.values, _fewest(self, other))


@dataclass(frozen=True)
class ProportionChange(Statistic):
    """The difference of two shares of the same texts; where they are of different ones, `prompts`
    is the number of the fewer.

    Its standard error is that with one more text moved each way (Bonett and Price 2012, of paired
    shares): where hardly a text differs, resamples hardly do, and would seem sure.
    """

    prompts: int

    def standard_error(self) -> float:
        return float(np.hypot(super().standard_error(), np.sqrt(2) / (self.prompts + 2)))

    def interval(self) -> Interval:
        reach = REACH * self.standard_error()
        return max(-1.0, self.value - reach), min(1.0, self.value + reach)

    def __sub__(self, other: Statistic) -> Statistic:
        return ProportionChange(self.values - other.values, _fewest(self, other))


def _fewest(one: Proportion | ProportionChange, other: Statistic) -> int:
    shares = (Proportion, ProportionChange)
    return min(one.prompts, other.prompts) if isinstance(other, shares) else one.prompts


@dataclass(frozen=True)
class Auroc(Statistic):
    """The area under a ROC curve, or the mean of several (`questions`, each a class against the
    rest). positives, negatives: how many texts of both kinds a question has on average.

    The interval is the wider one of two: the resamples' standard error on the logit, which near 1
    is too narrow, and Newcombe's score interval (2006, method 5), whose error is that of the true
    area and not of the one found.
    """

    positives: float
    negatives: float
    questions: int = 1

    def interval(self) -> Interval:
        area, error = self.value, self.standard_error()
        low, high = self._score_interval()
        if 0 < area < 1 and error > 0:
            reach = REACH * error / (area * (1 - area))
            low = min(low, float(expit(logit(area) - reach)))
            high = max(high, float(expit(logit(area) + reach)))
        return low, high

    def _score_interval(self) -> Interval:
        """The areas from which the one found is no farther than REACH of their own errors."""

        def beyond(true: float) -> float:
            return (self.value - true) ** 2 - REACH**2 * self._variance(true)

        # Both ends lie a little away from the area found: an area of 1 has no error at all.
        below, above = self.value * (1 - 1e-9), self.value + (1 - self.value) * 1e-9
        low = brentq(beyond, 0.0, below) if beyond(0.0) > 0 else 0.0
        high = brentq(beyond, above, 1.0) if beyond(1.0) > 0 else 1.0
        return float(low), float(high)

    def _variance(self, area: float) -> float:
        """Hanley and McNeil's (1982) of texts in equal parts, the questions independent."""
        more = (self.positives + self.negatives) / 2 - 1
        excess = 1 + more * (1 - area) / (2 - area) + more * area / (1 + area)
        return area * (1 - area) * excess / (self.positives * self.negatives * self.questions)


def share_of(values: Vector, counts: Counts) -> Proportion:
    """The share of texts [N], each in [0, 1], on resamples [1 + R, N]."""
    return Proportion(resampled_mean(values, counts), prompts_in(counts))


def statistic(found: Statistic | Vector) -> Statistic:
    """Bare values on resamples [1 + R] are a statistic of no special kind."""
    return found if isinstance(found, Statistic) else Statistic(found)


def estimate(values: Vector) -> Estimate:
    """The value and percentile interval of values on resamples [1 + R]."""
    return Statistic(values).estimate()


def estimate_defined(resampled: Mapping[str, Statistic | Vector]) -> dict[str, Estimate]:
    """The statistics that these texts define, by name; the others are left out."""
    found = {name: statistic(values) for name, values in resampled.items()}
    return {name: own.estimate() for name, own in found.items() if own.is_defined}


def estimate_chance(values: Vector) -> Estimate:
    """What permuted labels give: the mean and 95 % range of a statistic of labellings [1 + P], of
    which the first is the labels as they are."""
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return Estimate(float(values[1:].mean()), float(low), float(high))


def as_tree(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    return {name: estimate.as_tree() for name, estimate in estimates.items()}
