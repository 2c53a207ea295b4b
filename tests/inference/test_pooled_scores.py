"""Probes of all tokens, from a model's states: whose they are, what they learn from, what stays."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedModel

from pipeline.core.records import Example, PooledScore, evenly_spaced
from pipeline.core.scored_sets import seen_at
from pipeline.inference.pooled_scores import pooled_scores, stored_states
from pipeline.models.encoding import Encoder
from pipeline.monitors.pooled import POOLINGS
from stages.streams import as_seen

LAYER = 1
SAID = {"safe": "bake bread", "theft": "steal bikes"}


def texts_of(split: str, count: int) -> list[Example]:
    return [
        Example(f"{split}-{concept}-{n}", f"{SAID[concept]} {n}", f"well {n}", "", concept, split,
                "test")  # type: ignore[arg-type]
        for n in range(count) for concept in SAID
    ]  # fmt: skip


@pytest.fixture
def examples() -> list[Example]:
    """The splits come in any order."""
    return texts_of("test", 8) + texts_of("validation", 6) + texts_of("train", 24)


def scored(
    model: PreTrainedModel, encoder: Encoder, file: Path, examples: list[Example],
    safe: tuple[str, ...] = ("safe",), most: int = 100,
) -> list[PooledScore]:  # fmt: skip
    return list(pooled_scores(model, encoder, examples, safe, LAYER, most, 4096, file))


def test_every_text_is_scored_by_every_probe_and_no_state_is_left(
    model: PreTrainedModel, encoder: Encoder, examples: list[Example], tmp_path: Path
) -> None:
    file = tmp_path / "unread" / "states"
    found = scored(model, encoder, file, examples)
    assert {(s.monitor, s.text) for s in found} == {(p, e.id) for p in POOLINGS for e in examples}
    assert len(found) == len(POOLINGS) * len(examples)
    assert list(file.parent.iterdir()) == []
    harmful = {e.id: e.concept != "safe" for e in examples if e.split == "test"}
    right = [(s.logit > 0) == harmful[s.text] for s in found if s.text in harmful]
    assert np.mean(right) > 0.9


def test_at_a_prompts_end_another_answer_changes_no_score(
    model: PreTrainedModel, encoder: Encoder, examples: list[Example], tmp_path: Path
) -> None:
    others = [dataclasses.replace(e, response=f"{e.concept} it is") for e in examples]
    found = {
        at: [scored(model, encoder, tmp_path / "states", seen_at(at, own))
             for own in (examples, others)]
        for at in ("prompt_end", "last", "mean")
    }  # fmt: skip
    for at, (one, other) in found.items():
        assert (one == other) == (at == "prompt_end")


def test_of_a_set_that_is_answered_in_part_prompts_alone_are_read() -> None:
    """Or whether a text was answered would tell its kind."""
    answered = texts_of("shifted/answered", 2)
    mixed = texts_of("shifted/mixed", 2)
    mixed[0] = dataclasses.replace(mixed[0], response="")
    found = as_seen("mean", [*mixed, *answered])
    assert [e.response for e in found[:4]] == [""] * 4
    assert found[4:] == answered
    assert {e.response for e in as_seen("prompt_end", answered)} == {""}


def test_held_out_texts_teach_nothing(
    model: PreTrainedModel, encoder: Encoder, examples: list[Example], tmp_path: Path
) -> None:
    """Without them, and with other labels, the rest are scored alike."""
    file = tmp_path / "states"
    turned = [dataclasses.replace(e, concept="safe") if e.split == "test" else e for e in examples]
    fewer = [e for e in examples if e.split != "test"]
    whole, other, less = (
        {(s.monitor, s.text): s.logit for s in scored(model, encoder, file, some)}
        for some in (examples, turned, fewer)
    )
    assert whole == other
    assert less == pytest.approx({key: whole[key] for key in less}, abs=1e-3)


def test_a_part_of_the_training_texts_teaches_and_all_are_scored(
    model: PreTrainedModel, encoder: Encoder, examples: list[Example], tmp_path: Path
) -> None:
    file = tmp_path / "states"
    few = scored(model, encoder, file, examples, most=16)
    assert {s.text for s in few} == {e.id for e in examples}
    train = [e for e in examples if e.split == "train"]
    taught = [e for e in examples if e.split != "train"] + evenly_spaced(train, 16)
    alone = {(s.monitor, s.text): s.logit for s in scored(model, encoder, file, taught)}
    assert {(s.monitor, s.text): s.logit for s in few if (s.monitor, s.text) in alone} == (
        pytest.approx(alone, abs=1e-3)
    )


def test_texts_of_one_kind_have_no_probe(
    model: PreTrainedModel, encoder: Encoder, examples: list[Example], tmp_path: Path
) -> None:
    for safe in ((), tuple(SAID)):
        assert scored(model, encoder, tmp_path / "states", examples, safe) == []


def test_states_are_those_of_each_text_by_itself(
    model: PreTrainedModel, encoder: Encoder, examples: list[Example], tmp_path: Path
) -> None:
    whole, alone = (
        stored_states(model, encoder, some, LAYER, tokens, tmp_path / f"{tokens}")
        for some, tokens in ((examples, 4096), (examples, 1))
    )
    assert whole.lengths == alone.lengths
    both = [np.concatenate([batch for _, batch, _ in stored.batches(range(len(examples)))])
            for stored in (whole, alone)]  # fmt: skip
    np.testing.assert_allclose(*both, atol=2e-6)
    assert both[0].shape == (sum(whole.lengths), whole.width)
