"""Measures of the units of benchmarks/real_models.py, and their differences with intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

RESAMPLES = 2000
Vector = NDArray[np.float64]
Measure = Callable[[dict[str, Any], Vector], float]  # of a unit and its texts' weights


@dataclass(frozen=True)
class Change:
    """A difference, its 95 % interval, and how often chance alone would put it so far from 0."""

    value: float
    low: float
    high: float
    p: float

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def change(
    measure: Measure,
    pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]],
    together: bool = False,
) -> Change:
    """The mean over folds of a measure's difference: folds are drawn with replacement, and in each
    of them prompts. together: all folds have the same prompts, which are drawn once for all."""
    rng = np.random.default_rng(0)

    def difference(chosen: Sequence[int], weighed: Callable[[dict[str, Any]], Vector]) -> float:
        found = []
        for fold in chosen:
            own, base = pairs[fold]
            weights = weighed(base)
            found.append(measure(own, weights) - measure(base, weights))
        return float(np.mean(found))

    def drawn(found: dict[str, Any]) -> Vector:
        _, texts = np.unique(found["prompts"], return_inverse=True)
        numbers = int(texts.max()) + 1
        held = np.bincount(rng.integers(numbers, size=numbers), minlength=numbers)
        return held[texts].astype(np.float64)

    def resampled_once() -> float:
        chosen = rng.integers(len(pairs), size=len(pairs)).tolist()
        if not together:
            return difference(chosen, drawn)
        weights = drawn(pairs[0][1])
        return difference(chosen, lambda _: weights)

    value = difference(range(len(pairs)), lambda found: np.ones(len(found["prompts"])))
    resampled = np.array([resampled_once() for _ in range(RESAMPLES)])
    low, high = np.percentile(resampled, [2.5, 97.5])
    error = float(resampled.std())
    p = float(2 * norm.sf(abs(value) / error)) if error > 0 else 1.0
    return Change(value, float(low), float(high), p)


def mean(measure: Measure, folds: Sequence[tuple[dict[str, Any], Vector]]) -> float:
    return float(np.mean([measure(found, weights) for found, weights in folds]))


def accuracy(found: dict[str, Any], weights: Vector) -> float:
    return float(np.average(ones(found["probe"]["correct"]), weights=weights))


def asked_of(found: dict[str, Any]) -> dict[str, Any]:
    """A unit's multiple-choice questions in the place of its texts, for `accuracy`: right is whose
    right option is the likeliest."""
    return {"prompts": list(range(len(found["ability"]))), "probe": {"correct": found["ability"]}}


def auroc(found: dict[str, Any], weights: Vector) -> float:
    truth, score = ones(found["harmful"]), found["probe"]["harm"]
    return float(roc_auc_score(truth, score, sample_weight=weights))


def average_precision(found: dict[str, Any], weights: Vector) -> float:
    truth, score = ones(found["harmful"]), found["probe"]["harm"]
    return float(average_precision_score(truth, score, sample_weight=weights))


def false_alarms(found: dict[str, Any], weights: Vector) -> float:
    """The false positive rate where 95 % of harmful texts are found."""
    truth, score = ones(found["harmful"]), found["probe"]["harm"]
    false, true, _ = roc_curve(truth, score, sample_weight=weights)
    return float(false[np.searchsorted(true, 0.95)])


HARM = (auroc, average_precision, false_alarms)


def at(position: str, name: str) -> Measure:
    def measure(found: dict[str, Any], weights: Vector) -> float:
        value = found["geometry"][position][name]
        if isinstance(value, str):
            return float(np.average(ones(value), weights=weights))
        return float(np.average(value, weights=weights if np.ndim(value) else None))

    return measure


def number(name: str) -> Measure:
    return lambda found, _: float(found[name])


def ones(bits: str) -> Vector:
    return np.array([bit == "1" for bit in bits], dtype=np.float64)


def is_bits(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and set(value) <= {"0", "1"}
