"""Likelihoods of all concepts' names, of states: those of one state and one name at a time."""

import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.concepts import answer_about
from pipeline.core.params import Params
from pipeline.core.records import Example
from pipeline.models.encoding import Encoder
from pipeline.models.hooks import read_injected
from pipeline.models.logits import logits_of
from pipeline.selfie.closed_answers import concept_log_likelihoods, read_closed
from tests.selfie.test_crossings import held_out, stored_states

CONCEPTS = ["a much longer name", "fraud", "law"]


@torch.no_grad()
def plainly(
    model: PreTrainedModel, encoder: Encoder, params: Params, state: torch.Tensor, concept: str
) -> float:
    """The oracle: one state, one name, no padding and no batch."""
    asking = params.asking
    question = encoder.placeholder_prompt(asking.question, asking.placeholders)
    (answer,) = encoder.answers([answer_about(asking, concept)])
    ids = torch.tensor([[*question, *answer]])
    hidden = read_injected(model, ids, asking, ids == encoder.slot, state[None])
    logits = logits_of(model, hidden[0]).float().log_softmax(-1)
    start = len(question) - 1
    return sum(float(logits[start + step, token]) for step, token in enumerate(answer))


@pytest.mark.parametrize("per_batch", [1, 5, 64])
def test_likelihoods_are_those_of_names_one_by_one(
    model: PreTrainedModel, encoder: Encoder, params: Params, per_batch: int
) -> None:
    states = 5 * torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    found = concept_log_likelihoods(model, encoder, states, CONCEPTS, params.asking, per_batch)
    expected = [
        [plainly(model, encoder, params, state, concept) for concept in CONCEPTS]
        for state in states
    ]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-3, rtol=1e-5)


def test_nothing_injected_is_asked_once(
    model: PreTrainedModel, encoder: Encoder, params: Params
) -> None:
    found = concept_log_likelihoods(model, encoder, None, CONCEPTS, params.asking, 8)
    assert found.shape == (1, 3)
    assert bool((found < 0).all())


def test_stored_states_are_read_one_record_each(
    model: PreTrainedModel, encoder: Encoder, params: Params, examples: list[Example]
) -> None:
    chosen, asking = held_out(examples), params.asking
    stored = stored_states(model, encoder, examples, params)
    args = encoder, stored, chosen, CONCEPTS
    found = read_closed(model, *args, "state", asking, params.selfie)
    assert [(r.example, r.concept, r.position) for r in found] == [
        (e.id, e.concept, position) for position in asking.positions for e in chosen
    ]
    states = torch.from_numpy(stored.of_texts([e.id for e in chosen], asking.layer, "last"))
    expected = concept_log_likelihoods(model, encoder, states, CONCEPTS, asking, 64)
    torch.testing.assert_close(torch.tensor([r.scores for r in found]), expected)
    mapped = read_closed(model, *args, "affine", asking, params.selfie, torch.zeros_like)
    assert len({record.scores for record in mapped}) == 1
    assert {record.control for record in mapped} == {"affine"}
