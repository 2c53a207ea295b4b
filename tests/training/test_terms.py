"""What single terms are, and what a row is laid out for."""

import contextlib
import dataclasses

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.params import Params
from pipeline.core.records import Example
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.fused_lora import switched_off
from pipeline.models.hooks import injection
from pipeline.models.logits import token_kl
from pipeline.training.objective import Objective, lay_out
from pipeline.training.step import Depth, StepRead, StepTexts
from pipeline.training.terms import TERMS, Term, interpretation_penalty, used_terms
from tests.support.objectives import gap, moved_objective


def test_interpretations_move_readers_not_states(
    params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    """The interpretation term must not gather states by itself: what it reads is detached."""
    objective = moved_objective(params, encoder, model)
    read = read_to_be_interpreted(objective, examples[:4])
    states = read.states[params.asking.layer].detach().requires_grad_()
    own = dataclasses.replace(read, states={params.asking.layer: states})
    term = interpretation_penalty(own)
    assert float(term.detach()) > 0
    (to_states,) = torch.autograd.grad(term, states, allow_unused=True, retain_graph=True)
    assert to_states is None
    weights = [w for w in objective.adapted.parameters() if w.requires_grad]
    to_weights = torch.autograd.grad(term, weights, allow_unused=True)
    assert any(gradient is not None and gradient.any() for gradient in to_weights)


def read_to_be_interpreted(objective: Objective, examples: list[Example]) -> StepRead:
    encoder = objective.finetuned.encoder
    texts = StepTexts(retained=[encoder(e.prompt, e.response) for e in examples])
    return objective.read(lay_out(texts, [TERMS["penalty on interpretations"]]))


def test_the_interpretation_penalty_is_the_kl_of_two_readers(
    params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    """The oracle: one text and position at a time, by the published way of injecting."""
    objective = moved_objective(params, encoder, model)
    read = read_to_be_interpreted(objective, examples[:3])
    opening = encoder.contents(params.asking.answer.partition("{concept}")[0].rstrip())
    prompt = encoder.placeholder_prompt(params.asking.question, params.asking.placeholders)
    ids = torch.tensor([[*prompt, *opening]])
    layer, found = params.asking.layer, []
    for text in range(3):
        for position in params.asking.positions:
            logits = []
            for states, reader in (
                (read.states[layer], contextlib.nullcontext()),
                (read.frozen.states[layer], switched_off(objective.adapted)),
            ):
                vector = read.row.at(states, position)[text : text + 1].detach()
                with (
                    reader,
                    injection(objective.adapted, params.asking, ids == encoder.slot, vector),
                ):
                    logits.append(objective.adapted(ids).logits[0, len(prompt) - 1 :])
            found.append(token_kl(*logits))
    expected = torch.cat(found).mean()
    term = interpretation_penalty(read)
    assert float(term.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)
    weights = [w for w in objective.adapted.parameters() if w.requires_grad]
    assert gap(term, expected, weights) < 1e-4


def texts_of(*lengths: int) -> list[Encoded]:
    return [Encoded(tuple(range(n)), 0, n - 1) for n in lengths]


def test_texts_that_are_read_furthest_stand_first() -> None:
    texts = StepTexts(
        first=texts_of(1, 2), second=texts_of(3, 4), retained=texts_of(5), answered=texts_of(6)
    )
    everything = lay_out(texts, TERMS.values())
    assert [len(text.ids) for text in everything.row] == [5, 1, 2, 6, 3, 4]
    assert list(everything.reaching.values()) == [6, 4, 3, 1]
    answers = lay_out(texts, [TERMS["contrast"], TERMS["response"]])
    assert [len(text.ids) for text in answers.row] == [6, 1, 2, 3, 4]
    assert answers.texts == {"answered": slice(0, 1), "first": slice(1, 3), "second": slice(3, 5)}
    assert list(answers.reaching.values()) == [5, 1, 0, 0]


def test_terms_are_computed_where_a_variant_weighs_them(params: Params) -> None:
    variant = params.variants["sft_contrast"]
    finetuning = params.finetune.model_copy(update={"penalty_texts": ("pairs", "retain")})
    assert list(used_terms(variant, finetuning)) == [
        "contrast", "retain", "penalty on retain", "penalty on pairs", "response",
    ]  # fmt: skip
    unweighed = variant.model_copy(update={"penalty_weight": 0.0, "retain_weight": 0.0})
    assert list(used_terms(unweighed, finetuning)) == ["contrast", "response"]


def test_a_new_term_is_one_function(
    params: Params,
    encoder: Encoder,
    examples: list[Example],
    model: PreTrainedModel,
) -> None:
    """What it needs of the texts is read, and what it is shown is the model's own."""

    def length(read: StepRead) -> Tensor:
        return read.at_targets("second").norm(dim=-1).mean()

    objective = moved_objective(params, encoder, model)
    term = Term(length, {"second": Depth.TARGET})
    texts = [encoder(e.prompt, e.response) for e in examples[:2]]
    found = term.value(objective.read(lay_out(StepTexts(second=texts), [term])))
    (layer,) = params.finetune.target_layers
    expected = [
        objective.adapted(torch.tensor([text.ids]), output_hidden_states=True).hidden_states[layer][
            0, text.last
        ]
        for text in texts
    ]
    torch.testing.assert_close(found, torch.stack(expected).norm(dim=-1).mean())
