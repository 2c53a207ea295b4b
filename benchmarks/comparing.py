"""Two runs of the pipeline, number by number, held against how far seeds move them. Pure functions.

A number is within tolerance where two honest runs, other seeds apart, would differ as far in 95 of
100 cases. So 5 in 100 numbers lie outside by chance, and many at once: they are of one model. What
share of a stage's numbers may lie outside is therefore read from the seeds as well.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from pipeline.reporting.seed_band import SeedNumbers, numbers_of, quantile, tolerance

DIGITS = 6  # significant ones, to which metrics are written
SHARE = 0.1  # of a stage's numbers that may lie outside, at least


@dataclass(frozen=True)
class Difference:
    """A number that another run does not confirm. committed, found: None where there is none;
    tolerance: NaN where none could be applied."""

    number: str
    committed: Any
    found: Any
    tolerance: float


@dataclass(frozen=True)
class Comparison:
    """How many numbers were compared; those beyond tolerance; those that are missing, new or no
    number, which no tolerance covers."""

    compared: int
    outside: Sequence[Difference]
    broken: Sequence[Difference]


def compare(committed: Mapping[str, Any], found: Mapping[str, Any], seeds: SeedNumbers
            ) -> Comparison:  # fmt: skip
    """Two trees of one file of metrics. A number that some seeds lack may come and go."""
    before, after = dict(numbers_of(committed)), dict(numbers_of(found))
    outside, broken = [], []
    for number in sorted({*before, *after}):
        old, new, values = before.get(number), after.get(number), seeds.get(number, ())
        if is_number(old) and is_number(new):
            allowed = max(tolerance(values), unit(old, new))
            if abs(new - old) > allowed * (1 + 1e-6):
                outside.append(Difference(number, old, new, allowed))
        elif None in values and all(n is None or is_number(n) for n in (old, new)):
            continue
        elif old != new or isinstance(old, float):  # NaN is never confirmed, not even by NaN
            broken.append(Difference(number, old, new, math.nan))
    return Comparison(len({*before, *after}), outside, broken)


def is_number(leaf: object) -> TypeGuard[float]:
    """Whether a leaf is a finite number."""
    return isinstance(leaf, int | float) and not isinstance(leaf, bool) and math.isfinite(leaf)


def unit(*values: float) -> float:
    """One in the last digit that is written, of the largest value; 0 of nothing but zeros."""
    largest = max(map(abs, values))
    return 10.0 ** (math.floor(math.log10(largest)) - DIGITS + 1) if largest else 0.0


def allowed_share(rows: Iterable[Sequence[float | None]]) -> float:
    """What share of numbers may lie outside: the most that do between any two seeds, judged by
    the other seeds, and at least SHARE.

    rows: a number's values over seeds each; those that a seed lacks are left out. With fewer than
    five seeds, two are left to judge by, or none, and it is SHARE.
    """
    whole = [row for row in rows if None not in row]
    values = np.array(whole, dtype=float)
    if not whole or values.shape[1] < 5:
        return SHARE
    return max(SHARE, *(_outside(values, pair) for pair in combinations(range(values.shape[1]), 2)))


def _outside(values: NDArray[np.float64], pair: tuple[int, int]) -> float:
    """The share of numbers [N, seeds] by which two seeds differ beyond the others' tolerance."""
    rest = np.delete(values, pair, axis=1)
    reach = quantile(rest.shape[1] - 1) * rest.std(axis=1, ddof=1) * math.sqrt(2)
    first, second = values[:, pair[0]], values[:, pair[1]]
    units = np.array([unit(a, b) for a, b in zip(first, second, strict=True)])
    return float(np.mean(np.abs(first - second) > np.maximum(reach, units) * (1 + 1e-6)))
