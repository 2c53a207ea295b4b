"""Every variant beside the untouched model: both are measured on the same resamples of the same
texts, and what changed is the paired difference."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pipeline.core.files import KeyPath, branch
from pipeline.core.params import base_first
from pipeline.evaluation.bootstrap import Vector
from pipeline.evaluation.intervals import Statistic, statistic

_Measured = TypeVar("_Measured")
Resampled = Mapping[KeyPath, Statistic]


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


def under(path: KeyPath, statistics: Mapping[str, Statistic | Vector]) -> dict[KeyPath, Statistic]:
    """Named statistics as the leaves of one branch; bare values are one of no special kind."""
    return {(*path, name): statistic(found) for name, found in statistics.items()}


def metrics_tree(
    resampled: Resampled,
    base: Resampled | None,
    has_difference: Callable[[KeyPath], bool] = lambda path: True,
) -> dict[str, Any]:
    """A tree of metrics: every statistic with its interval and, under `difference`, its paired
    difference from the untouched model's.

    A difference is taken resample by resample: what moves both models alike, such as which texts
    were drawn, cancels out. Beside it stands `p`: how often chance alone would part two equal
    models so far, where the statistic has an interval. base: the untouched model's
    statistics, None for that model itself.
    """
    tree: dict[str, Any] = {}
    for path, found in resampled.items():
        put_estimate(tree, path, found)
        if base is not None and has_difference(path):
            difference = found - base[path]
            if difference.is_defined:
                branch(tree, ("difference", *path)).update(difference.as_change())
    return tree


def put_estimate(tree: dict[str, Any], path: Sequence[str], found: Statistic) -> None:
    """Write the estimate of a statistic on resamples at its path of a tree; nothing, not even the
    branches that lead there, where it is undefined on the texts as they are."""
    if found.is_defined:
        branch(tree, path[:-1])[path[-1]] = found.estimate().as_tree()
