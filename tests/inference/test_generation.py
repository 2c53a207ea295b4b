"""Answers come from the model's own distribution; likelihoods are those of texts one by one."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.params import Params
from pipeline.core.records import Document, Request
from pipeline.inference import answering
from pipeline.inference.generation import complete, complete_greedily, likelihoods, openings
from pipeline.models.building import new_model
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoder

REQUESTS = [
    Request(f"r{n}", prompt, False, False, "test")
    for n, prompt in enumerate(["Explain rain.", "Why?", "Tell me all about the sea, please."])
]


def test_every_request_gets_its_samples_in_order(
    model: PreTrainedModel, encoder: Encoder, params: Params
) -> None:
    several = params.generation.model_copy(update={"samples": 2, "prompts_per_batch": 2})
    answers = complete(model, encoder, REQUESTS, several, seed=0)
    assert [(a.request, a.sample) for a in answers] == [
        (r.id, n) for r in REQUESTS for n in range(2)
    ]
    assert complete(model, encoder, REQUESTS, several, seed=0) == answers
    assert complete(model, encoder, REQUESTS, several, seed=1) != answers


def test_padding_changes_no_answer(
    model: PreTrainedModel, encoder: Encoder, params: Params
) -> None:
    """Cold sampling is greedy: then a short prompt answers alone as beside a long one."""
    cold = params.generation.model_copy(update={"temperature": 1e-4})
    together = complete(model, encoder, REQUESTS, cold, seed=0)
    alone = [complete(model, encoder, [r], cold, seed=0)[0] for r in REQUESTS]
    assert together == alone


def test_greedy_answers_are_the_likeliest_word_by_word(
    model: PreTrainedModel, encoder: Encoder, params: Params
) -> None:
    found = complete_greedily(model, encoder, REQUESTS, params.generation)
    assert [(a.request, a.sample) for a in found] == [(r.id, 0) for r in REQUESTS]
    cold = params.generation.model_copy(update={"temperature": 1e-4, "samples": 1})
    assert found == complete(model, encoder, REQUESTS, cold, seed=0)
    assert found == complete_greedily(model, encoder, REQUESTS, params.generation)


def test_a_killed_run_goes_on_with_the_same_answers(
    model: PreTrainedModel,
    encoder: Encoder,
    params: Params,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It asks no prompt again that has its answers, and draws what it would have drawn."""
    each = params.generation.model_copy(update={"samples": 2, "prompts_per_batch": 1})
    whole = complete(model, encoder, REQUESTS, each, seed=0)
    asked: list[int] = []
    make = answering.generate

    def killed_at(number: int) -> Callable[..., object]:
        def run(*args: object, **kwargs: object) -> object:
            if len(asked) == number:
                raise KeyboardInterrupt
            asked.append(1)
            return make(*args, **kwargs)

        return run

    checkpoint = Checkpoint(tmp_path / "kept.safetensors", "this run", every=1)
    monkeypatch.setattr(answering, "generate", killed_at(2))
    with pytest.raises(KeyboardInterrupt):
        complete(model, encoder, REQUESTS, each, 0, checkpoint)
    asked.clear()
    monkeypatch.setattr(answering, "generate", killed_at(1))
    torch.manual_seed(99)
    assert complete(model, encoder, REQUESTS, each, 0, checkpoint) == whole
    assert len(asked) == 1
    asked.clear()
    assert complete(model, encoder, REQUESTS, each, 0, checkpoint) == whole
    assert not asked, "a variant that is through is asked nothing"
    monkeypatch.setattr(answering, "generate", make)
    other = dataclasses.replace(checkpoint, key="another run")
    assert complete(model, encoder, REQUESTS, each, 1, other) != whole


def test_without_checkpoints_nothing_is_kept(
    model: PreTrainedModel, encoder: Encoder, params: Params, tmp_path: Path
) -> None:
    never = Checkpoint(tmp_path / "kept.safetensors", "this run", every=0)
    complete(model, encoder, REQUESTS, params.generation, 0, never)
    assert not never.path.exists()


def test_no_requests_give_no_answers(
    model: PreTrainedModel, encoder: Encoder, params: Params
) -> None:
    assert complete(model, encoder, [], params.generation, seed=0) == []


@torch.no_grad()
def test_likelihoods_equal_texts_one_by_one(
    model: PreTrainedModel, encoder: Encoder, params: Params, documents: list[Document]
) -> None:
    torch.manual_seed(1)
    other = new_model(params.model.embedded, encoder.tokenizer).eval()
    chosen = documents[:6]
    for found, document in zip(
        likelihoods(model, other, encoder, chosen, 200), chosen, strict=True
    ):
        ids = torch.tensor([encoder(document.prompt, document.response).ids])
        tuned = model(ids).logits[0, :-1].log_softmax(-1)
        frozen = other(ids).logits[0, :-1].log_softmax(-1)
        nll = -tuned.gather(1, ids[0, 1:, None]).sum()
        kl = (frozen.exp() * (frozen - tuned)).sum()
        assert found.document == document.id
        assert found.tokens == ids.shape[1] - 1
        assert found.nll == pytest.approx(float(nll), rel=1e-4)
        assert found.kl == pytest.approx(float(kl), rel=1e-3)


@torch.no_grad()
def test_likelihoods_of_responses_are_given_their_prompts(
    model: PreTrainedModel, encoder: Encoder, params: Params, documents: list[Document]
) -> None:
    chosen = documents[:6]
    found = likelihoods(model, model, encoder, chosen, 200, of_responses=True)
    for own, document in zip(found, chosen, strict=True):
        text = encoder(document.prompt, document.response)
        ids = torch.tensor([text.ids])
        scores = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        assert own.tokens == len(text.ids) - 1 - text.prompt_end
        assert own.nll == pytest.approx(-float(scores[text.prompt_end :].sum()), rel=1e-4)


@torch.no_grad()
def test_openings_equal_prompts_one_by_one(
    model: PreTrainedModel, encoder: Encoder, params: Params, documents: list[Document]
) -> None:
    torch.manual_seed(1)
    other = new_model(params.model.embedded, encoder.tokenizer).eval()
    chosen = documents[:6]
    for found, document in zip(openings(model, other, encoder, chosen, 60), chosen, strict=True):
        ids = torch.tensor([encoder(document.prompt, "").ids])
        tuned, frozen = (m(ids).logits[0, -1].log_softmax(-1) for m in (model, other))
        assert found.prompt == document.id
        assert found.kl == pytest.approx(float((frozen.exp() * (frozen - tuned)).sum()), rel=1e-3)
    assert all(found.kl == 0 for found in openings(model, model, encoder, chosen, 60))


def test_a_models_kl_from_itself_is_0(
    model: PreTrainedModel, encoder: Encoder, documents: list[Document]
) -> None:
    assert all(found.kl == 0 for found in likelihoods(model, model, encoder, documents[:3], 200))
