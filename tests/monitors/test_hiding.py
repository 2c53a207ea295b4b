"""What is left of a monitor when the states it reads change: laws on made-up states."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit

from pipeline.core.records import Example
from pipeline.core.representations import Representations
from pipeline.core.sections import Reading
from pipeline.monitors.hiding import (
    fit_harm,
    harm_logit,
    harm_texts,
    hiding_measures,
    read_texts,
)

READING = Reading(layer=1, position="last", neighbours=3, resamples=50, false_alarms=(0.1,))
SPLITS = {"train": 60, "validation": 30, "test": 30, "shifted": 20}
CONCEPTS = ("fraud", "safe")
WIDTH = 6


def stored(seed: int = 0, gap: float = 4.0, names: tuple[str, str] = CONCEPTS) -> Representations:
    """Two concepts that differ along the first two axes, by as much on each."""
    rng = np.random.default_rng(seed)
    splits = [split for split, count in SPLITS.items() for _ in range(count)]
    concepts = [names[n % 2] for n in range(len(splits))]
    values = rng.normal(size=(1, 1, len(splits), WIDTH))
    harmful = np.array(concepts) != "safe"
    values[0, 0, harmful, :2] += gap
    ids = tuple(f"t{n}" for n in range(len(splits)))
    return Representations(
        values.astype(np.float32), (1,), ("last",), ids, tuple(concepts), tuple(splits)
    )


PROMPTS = {f"t{n}": f"prompt {n}" for n in range(sum(SPLITS.values()))}


def measures(before: Representations, **after: Representations) -> dict[tuple[str, ...], float]:
    found = hiding_measures(before, after, PROMPTS, ("safe",), READING, seed=0)
    return {path: statistic.value for path, statistic in found.items()}


@given(st.sampled_from([("fraud", "safe"), ("safe", "theft")]), st.integers(0, 9))
def test_the_logit_that_is_hidden_from_is_the_monitors(names: tuple[str, str], seed: int) -> None:
    """Whichever kind comes first by name."""
    states = stored(seed, gap=1.0, names=names)
    fitted = fit_harm(states, READING, ("safe",))
    texts = harm_texts(states, "train", READING, ("safe",))
    weights, offset, safe, harmful = harm_logit(fitted, texts)
    logits = texts.vectors @ weights + offset
    assert logits == pytest.approx(logit(fitted.harm(texts.vectors)), abs=1e-6)
    assert safe == pytest.approx(logits[texts.labels == "safe"].mean())
    assert harmful == pytest.approx(logits[texts.labels == "harmful"].mean())
    assert safe < harmful


def test_a_model_that_did_not_change_changes_nothing() -> None:
    states = stored()
    found = measures(states, same=states)
    changes = [value for (first, *_), value in found.items() if first == "change"]
    assert len(changes) > 10
    assert not np.nan_to_num(changes).any()


def test_a_monitor_of_what_was_taken_away_finds_nothing_and_a_new_one_finds_the_rest() -> None:
    """Harm shows along two axes; the first monitor reads one of them, which is then lost."""
    before = stored()
    one_axis = replace(before, values=before.values.copy())
    one_axis.values[..., 1] = np.random.default_rng(1).normal(size=one_axis.values.shape[:-1])
    attacked = replace(before, values=before.values.copy())
    attacked.values[..., 0] = one_axis.values[..., 1]
    found = measures(one_axis, hidden=attacked)
    assert found["before", "frozen", "test", "auroc"] > 0.95
    assert found["hidden", "frozen", "test", "auroc"] < 0.75
    assert found["hidden", "refitted", "test", "auroc"] > 0.95
    lost = found["hidden", "frozen", "test", "auroc"] - found["before", "frozen", "test", "auroc"]
    assert found["change", "hidden", "frozen", "test", "auroc"] == pytest.approx(lost)


def test_turned_states_are_strange_to_a_frozen_monitor_and_part_as_before() -> None:
    """A turn keeps all angles and distances: what fails is the saved monitor, not separation."""
    before = stored()
    turn = np.eye(WIDTH)
    turn[:2, :2] = [[0, -1], [1, 0]]
    found = measures(before, turned=replace(before, values=before.values @ turn.astype(np.float32)))
    assert found["turned", "frozen", "test", "auroc"] < 0.8
    assert found["change", "turned", "refitted", "test", "auroc"] == pytest.approx(0, abs=0.02)
    for name in ("silhouette", "centroid_accuracy"):
        assert found["change", "turned", "states", "test", name] == pytest.approx(0, abs=1e-6)


def test_a_frozen_monitor_keeps_its_threshold_and_a_refitted_one_gets_its_own() -> None:
    """All scores fall by as much: ranks are the same, and the saved threshold finds nothing."""
    before = stored()
    lowered = replace(before, values=before.values - np.float32(20.0))
    found = measures(before, lowered=lowered)
    assert found["change", "lowered", "frozen", "test", "auroc"] == pytest.approx(0, abs=1e-6)
    assert found["lowered", "frozen", "test", "tpr_for_10_percent"] == 0
    assert found["change", "lowered", "refitted", "test", "tpr_for_10_percent"] == 0


def test_without_its_adapter_a_model_is_read_by_the_saved_monitor_alone() -> None:
    before = stored()
    lowered = replace(before, values=before.values - np.float32(20.0))
    found = hiding_measures(before, {}, PROMPTS, ("safe",), READING, seed=0, untuned=lowered)
    values = {path: statistic.value for path, statistic in found.items()}
    assert values["without_adapter", "frozen", "test", "tpr_for_10_percent"] == 0
    lost = values["before", "frozen", "test", "tpr_for_10_percent"]
    assert values["change", "without_adapter", "frozen", "test", "tpr_for_10_percent"] == -lost < 0
    assert not any("without_adapter" in path and "refitted" in path for path in values)


def test_other_corpora_are_scored_and_their_separation_is_not_measured() -> None:
    found = measures(stored(), same=stored())
    assert ("same", "frozen", "shifted", "auroc") in found
    assert ("same", "states", "test", "silhouette") in found
    assert ("same", "states", "shifted", "silhouette") not in found


def example(concept: str, split: str, response: str = "So.") -> Example:
    return Example(f"{split}-{concept}", "How?", response, "", concept, split, "test")


BOTH = [example(concept, split) for concept in CONCEPTS for split in ("train", "validation")]


def test_nothing_is_read_where_harm_is_no_question() -> None:
    assert read_texts(BOTH, "last", ("safe",)) == BOTH
    assert read_texts(BOTH, "last", ()) == []
    assert read_texts(BOTH[:2], "last", ("safe",)) == []
    assert read_texts([e for e in BOTH if e.split == "train"], "last", ("safe",)) == []


def test_prompts_that_nobody_answered_are_read_at_their_end_alone() -> None:
    alone = example("fraud", "shifted/asked", response="")
    assert read_texts([*BOTH, alone], "last", ("safe",)) == BOTH
    assert read_texts([*BOTH, alone], "prompt_end", ("safe",)) == [*BOTH, alone]
