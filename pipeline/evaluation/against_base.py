"""Every variant beside the untouched model: both are measured on the same resamples of the same
texts, and what changed is the paired difference."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from pipeline.core.files import KeyPath, branch
from pipeline.core.params import base_first
from pipeline.evaluation.bootstrap import Vector, estimate

_Measured = TypeVar("_Measured")
# Statistics on resamples [1 + R], of which the first is the value.
Resampled = Mapping[KeyPath, Vector]


def beside_base(
    variants: Iterable[str], measure: Callable[[str], _Measured]
) -> Iterator[tuple[str, _Measured, _Measured | None]]:
    """Measure every variant, the untouched model first: its name, what was measured, and the same
    of the untouched model; None for that model itself."""
    base: _Measured | None = None
    for name in base_first(variants):
        measured = measure(name)
        yield name, measured, base
        base = measured if base is None else base


def under(path: KeyPath, statistics: Mapping[str, Vector]) -> dict[KeyPath, Vector]:
    """Named statistics as the leaves of one branch."""
    return {(*path, name): values for name, values in statistics.items()}


def metrics_tree(
    resampled: Resampled,
    base: Resampled | None,
    has_difference: Callable[[KeyPath], bool] = lambda path: True,
    biased: Collection[str] = (),
) -> dict[str, Any]:
    """A tree of metrics: every statistic with its interval and, under `difference`, its paired
    difference from the untouched model's.

    A difference is taken resample by resample: what moves both models alike, such as which texts
    were drawn, cancels out. base: the untouched model's statistics, None for that model itself.
    biased: the names of statistics that repeated or missing texts shift (see `estimate`).
    """
    tree: dict[str, Any] = {}
    for path, values in resampled.items():
        put_estimate(tree, path, values, path[-1] in biased)
        if base is not None and has_difference(path):
            difference = values - base[path]
            put_estimate(tree, ("difference", *path), difference, path[-1] in biased)
    return tree


def put_estimate(
    tree: dict[str, Any], path: Sequence[str], values: Vector, biased: bool = False
) -> None:
    """Write the estimate of a statistic on resamples at its path of a tree; nothing, not even the
    branches that lead there, where it is undefined on the texts as they are."""
    if np.isfinite(values[0]):
        branch(tree, path[:-1])[path[-1]] = estimate(values, biased).as_tree()
