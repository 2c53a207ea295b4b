"""How far two models are apart on responses alone, whatever stands before them."""

import copy
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from pipeline.core.records import Completion, Document, Request
from pipeline.edits.comparing import compare_replies, likelihood_of_answers
from pipeline.edits.instructions import Instruction
from pipeline.inference.generation import likelihoods
from pipeline.models.encoding import Encoder


def other_than(model: PreTrainedModel) -> PreTrainedModel:
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(
                0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
            )
    return other


@torch.no_grad()
def logits_by_hand(model: PreTrainedModel, encoder: Encoder, document: Document) -> torch.Tensor:
    text = encoder(document.prompt, document.response)
    logits: torch.Tensor = model(torch.tensor([text.ids])).logits[0].float()
    return logits[text.prompt_end : text.last].log_softmax(-1)


def test_replies_by_hand_under_an_instruction(
    model: PreTrainedModel, encoder: Encoder, documents: Sequence[Document]
) -> None:
    instruction, plain, other = Instruction("Be brief."), documents[:5], other_than(model)
    asked, roomy = instruction.before(encoder, plain), instruction.encoder(encoder)
    found, agreed = compare_replies((other, roomy, asked), (model, encoder, plain), 200)
    for row, agreement, before, after in zip(found, agreed, plain, asked, strict=True):
        own, frozen = logits_by_hand(other, roomy, after), logits_by_hand(model, encoder, before)
        text = encoder(before.prompt, before.response)
        said = torch.tensor(text.ids[text.prompt_end + 1 :])
        assert (
            (row.document, row.tokens) == (before.id, len(said)) == (agreement.document, len(own))
        )
        assert row.nll == pytest.approx(float(F.nll_loss(own, said, reduction="sum")), rel=1e-4)
        kl = float((frozen.exp() * (frozen - own)).sum())
        assert row.kl == pytest.approx(kl, rel=1e-3)
        assert agreement.agreed == int((own.argmax(-1) == frozen.argmax(-1)).sum())
    assert {row.document for row in found} == {document.id for document in plain}


def test_replies_without_an_instruction_are_as_likely_as_responses(
    model: PreTrainedModel, encoder: Encoder, documents: Sequence[Document]
) -> None:
    other, plain = other_than(model), documents[:5]
    found, _ = compare_replies((other, encoder, plain), (model, encoder, plain), 200)
    for row, known in zip(
        found, likelihoods(other, model, encoder, plain, 200, of_responses=True), strict=True
    ):
        assert (row.document, row.tokens) == (known.document, known.tokens)
        assert (row.nll, row.kl) == pytest.approx((known.nll, known.kl), rel=1e-3)


def test_answers_of_a_request_are_weighed_together(
    model: PreTrainedModel, encoder: Encoder
) -> None:
    requests = [Request(name, f"Explain {name}.", False, False, "test") for name in ("a", "b")]
    said = [Completion("a", 0, "Rain falls."), Completion("a", 1, "No."), Completion("b", 0, "")]
    found = {row.document: row for row in likelihood_of_answers(model, encoder, requests, said, 99)}
    apart = likelihoods(
        model, model, encoder,
        [Document("a", "Explain a.", text, "heldout") for text in ("Rain falls.", "No.")],
        99, of_responses=True,
    )  # fmt: skip
    assert found["a"].tokens == sum(row.tokens for row in apart)
    assert found["a"].nll == pytest.approx(sum(row.nll for row in apart), rel=1e-4)
    assert (found["b"].tokens, found["b"].nll) == (0, 0.0), "an empty answer says nothing"
