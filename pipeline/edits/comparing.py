"""How far a model is from the untouched one on texts that an edit is not about."""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.records import Agreement, Completion, Document, Likelihood, Request
from pipeline.inference.generation import likelihoods
from pipeline.models.encoding import Encoded, Encoder, token_batches
from pipeline.models.hooks import decoder_of
from pipeline.models.logits import logits_of, token_kl

Reader = tuple[PreTrainedModel, Encoder, Sequence[Document]]
"""A model, and the documents as it reads them."""


@torch.no_grad()
def agreements(
    tuned: PreTrainedModel,
    untouched: PreTrainedModel,
    encoder: Encoder,
    documents: Sequence[Document],
    tokens_per_batch: int,
) -> list[Agreement]:
    """The number of each document's tokens at which both models find the same next token
    likeliest."""
    texts = encoder.texts([(d.prompt, d.response) for d in documents])
    found: dict[int, Agreement] = {}
    for chosen in token_batches(texts, tokens_per_batch):
        batch = encoder.batch([texts[i] for i in chosen], tuned.device)
        hidden = [
            decoder_of(model)(
                input_ids=batch.ids, attention_mask=batch.mask, use_cache=False
            ).last_hidden_state
            for model in (tuned, untouched)
        ]
        for row, index in enumerate(chosen):
            length = len(texts[index].ids) - 1
            tuned_tokens, untouched_tokens = (
                logits_of(model, states[row, :length]).argmax(-1)
                for model, states in zip((tuned, untouched), hidden, strict=True)
            )
            found[index] = Agreement(
                documents[index].id, length, int((tuned_tokens == untouched_tokens).sum())
            )
    return [found[index] for index in range(len(documents))]


@torch.no_grad()
def compare_replies(
    own: Reader, untouched: Reader, tokens_per_batch: int
) -> tuple[list[Likelihood], list[Agreement]]:
    """Of each document's response: its likelihood to a model and the divergence from the untouched
    one, in nats, and the number of its tokens at which both find the same one likeliest. Both read
    the same responses; the prompts before them may differ."""
    texts = [
        encoder.texts([(d.prompt, d.response) for d in documents])
        for _, encoder, documents in (own, untouched)
    ]
    found: dict[int, tuple[Likelihood, Agreement]] = {}
    for chosen in token_batches(texts[0], tokens_per_batch):
        read = [
            _response_logits(model, encoder, [of_model[i] for i in chosen])
            for (model, encoder, _), of_model in zip((own, untouched), texts, strict=True)
        ]
        for index, logits, frozen in zip(chosen, *read, strict=True):
            text, name = texts[0][index], own[2][index].id
            said = torch.tensor(text.ids[text.prompt_end + 1 :], device=logits.device)
            nll = float(F.cross_entropy(logits, said, reduction="sum"))
            divergence = float(token_kl(logits, frozen).sum())
            agreed = int((logits.argmax(-1) == frozen.argmax(-1)).sum())
            found[index] = (
                Likelihood(name, len(said), nll, divergence),
                Agreement(name, len(said), agreed),
            )
    ordered = [found[index] for index in range(len(own[2]))]
    return [likelihood for likelihood, _ in ordered], [agreement for _, agreement in ordered]


def _response_logits(
    model: PreTrainedModel, encoder: Encoder, texts: Sequence[Encoded]
) -> list[Tensor]:
    """The logits that predict every text's response: [tokens, V] each."""
    batch = encoder.batch(texts, model.device)
    hidden = decoder_of(model)(
        input_ids=batch.ids, attention_mask=batch.mask, use_cache=False
    ).last_hidden_state
    return [
        logits_of(model, states[text.prompt_end : text.last])
        for states, text in zip(hidden, texts, strict=True)
    ]


def likelihood_of_answers(
    untouched: PreTrainedModel,
    encoder: Encoder,
    requests: Sequence[Request],
    completions: Sequence[Completion],
    tokens_per_batch: int,
) -> list[Likelihood]:
    """How likely all answers to each request are to the untouched model, which is given the request
    alone: low where a model no longer speaks as it did. The divergence is 0."""
    prompts = {request.id: request.prompt for request in requests}
    answers = [Document(c.request, prompts[c.request], c.text, "heldout") for c in completions]
    found: dict[str, Likelihood] = {}
    for own in likelihoods(untouched, untouched, encoder, answers, tokens_per_batch, True):
        former = found.get(own.document, Likelihood(own.document, 0, 0.0, 0.0))
        found[own.document] = replace(
            former, tokens=former.tokens + own.tokens, nll=former.nll + own.nll
        )
    return list(found.values())
