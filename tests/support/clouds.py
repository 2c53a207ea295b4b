"""Concepts of known separation."""

import numpy as np
from numpy.typing import NDArray


def clouds(
    gap: float, seed: int = 0, per: int = 40, width: int = 12
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Three Gaussian concepts whose means are `gap` apart."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(["a", "b", "c"], per)
    means = gap * np.eye(3, width)[np.repeat([0, 1, 2], per)]
    return means + rng.normal(size=(3 * per, width)), labels
