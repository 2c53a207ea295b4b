"""Made-up folds, states and units of the study of pretrained models."""

from typing import Any

import numpy as np

from benchmarks.real_measures import (
    Fold,
    States,
)
from pipeline.core.records import Example


def fold_and_states(apart: float) -> tuple[Fold, States]:
    """Two concepts that lie apart at layer 2, `last`, alone."""
    rng = np.random.default_rng(0)
    splits = ["train"] * 120 + ["validation"] * 60 + ["test"] * 60
    examples = [
        Example(str(i), f"p{i}", "", "", ("harm", "safe")[i % 2], split, "s")  # type: ignore[arg-type]
        for i, split in enumerate(splits)
    ]
    values = rng.normal(size=(2, 2, len(examples), 8)).astype(np.float32)
    values[1, 0, ::2] += apart
    return Fold(examples, ("safe",)), States(values, (1, 2), ("last", "mean"))


def unit_of(fold: Fold, right: int, silhouette: float) -> dict[str, Any]:
    """A unit of 60 test texts of which so many are right."""
    correct = "1" * right + "0" * (60 - right)
    place = {
        "centroid": correct, "knn": correct, "silhouette": [silhouette] * 60,
        "cosine_gap": 0.1, "coding_rate_gap": 0.1, "raw_cosine": 0.9,
    }  # fmt: skip
    return {
        "prompts": [str(i) for i in range(60)],
        "probe": {"correct": correct, "validation": 0.5},
        "geometry": {"last": place, "mean": place},
        "transport": {f"last_{n}": {"margin": n / 30, "gap": 1 - n / 60} for n in (right, 60)},
        "ability": correct,
        "processor_seconds": 1.0,
    }


def tried(validation: float, kl: float) -> dict[str, Any]:
    return {"probe": {"best_validation": validation}, "kl_held_out": kl}
