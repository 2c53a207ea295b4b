"""The best probe: chosen on validation texts, scored on others, paired with the frozen one."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.core.representations import Representations
from pipeline.core.sections import Reading
from pipeline.evaluation.best_probe import every_layer
from pipeline.evaluation.separation_by_layer import separation_by_layer, separation_metrics
from tests.support.clouds import clouds

READING = Reading(layer=1, position="last", neighbours=3, resamples=60, false_alarms=(0.05,))
SIZES = {"train": 20, "validation": 10, "test": 20, "novel": 10, "shifted": 10}
Gaps = Mapping[tuple[int, str], float]


def states(gaps: Gaps, seed: int = 0, splits: Mapping[str, int] = SIZES) -> Representations:
    """Three concepts, so far apart at each layer (1, 2) and position."""
    rows: list[NDArray[np.float64]] = []
    for layer in (1, 2):
        for position in ("last", "mean"):
            own = [clouds(gaps.get((layer, position), 0.0), seed + at + 10 * layer, per)[0]
                   for at, per in enumerate(splits.values())]  # fmt: skip
            rows.append(np.concatenate(own))
    labels = [clouds(0, 0, per)[1] for per in splits.values()]
    names = np.repeat([*splits], [len(own) for own in labels])
    values = np.stack(rows).reshape(2, 2, len(names), -1).astype(np.float32)
    ids = tuple(f"{number}" for number in range(len(names)))
    concepts = tuple(map(str, np.concatenate(labels)))
    return Representations(values, (1, 2), ("last", "mean"), ids, concepts, tuple(map(str, names)))


def probes(stored: Representations, base: Representations | None = None) -> dict[str, object]:
    prompts = {name: name for name in stored.ids}
    found, before = (
        separation_by_layer(own, prompts, READING, 0) if own else None for own in (stored, base)
    )
    assert found
    tree = separation_metrics(found, before, READING)
    difference = tree.get("difference", {})
    assert isinstance(difference, dict)
    return {**tree["probes"], "difference": difference.get("probes")}  # type: ignore[dict-item]


def value(tree: object, *path: str) -> float:
    for name in path:
        tree = tree[name]  # type: ignore[index]
    return float(tree["value"])  # type: ignore[index]


def test_the_best_probe_is_where_validation_texts_are_read_best() -> None:
    found = probes(states({(2, "mean"): 6.0}))
    for split in ("test", "novel", "shifted"):
        assert value(found, "best", split) > 0.95
        assert value(found, "read", split) < 0.6, "at the layer and position that are read"
        assert value(found, "frozen", split) == value(found, "best", split), "its own best one"


def test_all_layers_together_may_read_what_none_does() -> None:
    """As scikit-learn's on the vectors side by side."""
    stored = states({(1, "last"): 1.6, (2, "last"): 1.6}, splits={**SIZES, "validation": 200})
    expected = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=1000))
    expected.fit(*every_layer(stored, "last", "train"))
    found = probes(stored)
    assert value(found, "best", "test") == expected.score(*every_layer(stored, "last", "test"))
    assert value(found, "best", "test") > value(found, "read", "test")


def test_what_is_scored_has_no_say_in_the_choice() -> None:
    """Other layers that read test texts alone are not chosen."""
    stored = states({(1, "last"): 2.0})
    fooled = stored.values.copy()
    tested = np.isin(stored.splits, ["test", "novel", "shifted"])
    codes = np.searchsorted(["a", "b", "c"], np.array(stored.concepts)[tested])
    fooled[1, 1, tested] = 50 * np.eye(fooled.shape[-1])[codes]
    other = Representations(fooled, *list(vars(stored).values())[1:])
    assert value(probes(other), "best", "test") == value(probes(stored), "best", "test")


def test_a_finetune_is_held_against_the_best_frozen_probe() -> None:
    """Where the untouched model reads as well elsewhere, states that part where they are read are
    no gain."""
    base, tuned = states({(2, "mean"): 6.0}), states({(1, "last"): 6.0}, seed=0)
    found = probes(tuned, base)
    assert value(found, "frozen", "test") == value(probes(base), "best", "test")
    assert value(found, "difference", "read", "test") > 0.4
    gain = found["difference"]["best"]["test"]  # type: ignore[index]
    assert gain["low"] <= 0 <= gain["high"]
    assert value(found, "above_frozen", "test") == value(found, "read", "test") - value(
        found, "frozen", "test"
    )
    assert found["above_frozen"]["test"].keys() == {"value", "low", "high", "p"}  # type: ignore[index]
    same = probes(base, base)["difference"]["best"]["test"]  # type: ignore[index]
    assert (same["value"], same["p"]) == (0, 1)


def test_without_validation_texts_the_probe_that_is_read_is_the_best() -> None:
    sizes = {split: per for split, per in SIZES.items() if split != "validation"}
    found = probes(states({(2, "mean"): 6.0}, splits=sizes))
    assert found["best"] == found["read"]


def test_a_concept_that_training_never_showed_is_not_asked() -> None:
    stored = states({(1, "last"): 6.0})
    names = [f"new {concept}" if split == "shifted" and concept == "c" else concept
             for concept, split in zip(stored.concepts, stored.splits, strict=True)]  # fmt: skip
    other = Representations(
        stored.values, stored.layers, stored.positions, stored.ids, tuple(names), stored.splits
    )
    assert value(probes(other), "read", "shifted") > 0.95
    assert value(probes(other), "read", "test") == value(probes(stored), "read", "test")
