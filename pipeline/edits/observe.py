"""Observe a model before or after an edit: what the edit is meant to change, and what else may
change with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

import torch
from transformers import PreTrainedModel

from pipeline.core.concepts import balanced, concepts_of
from pipeline.core.edit_observations import Observations
from pipeline.core.records import Agreement, Document, Example, Request
from pipeline.core.sections import Asking, Generation, Selfie
from pipeline.edits.rewards import state_interpretations
from pipeline.inference.generation import complete, likelihoods
from pipeline.models.encoding import Encoder, token_batches
from pipeline.models.hooks import decoder_of
from pipeline.models.logits import logits_of
from pipeline.selfie.controls import example_states

HELD_OUT = ("validation", "test", "novel")
GREEDY_TEMPERATURE = 1e-4  # at which a sample is all but surely the likeliest token


@dataclass(frozen=True)
class ObservedTexts:
    """What every model is observed on.

    requests: to answer. documents: unrelated texts to predict. facts: unrelated messages whose
    concept is to be named. examples: held-out texts whose hidden states are interpreted. Requests
    and examples of the validation split serve to choose an edit's settings.
    """

    requests: Sequence[Request]
    documents: Sequence[Document]
    facts: Sequence[Example]
    examples: Sequence[Example]


def choose_observed_texts(
    requests: Sequence[Request],
    documents: Sequence[Document],
    described: Sequence[Example],
    examples: Sequence[Example],
    num_requests: int,
    num_texts: int,
) -> ObservedTexts:
    """At most `num_requests` requests, and `num_texts` documents, facts and examples of each split.

    Requests are taken in turn from every kind: harmful or not, framed or not, of each split. Those
    that are prompts of examples come in an order that is balanced over concepts, so that a few
    concepts do not use up the number. Facts are of concepts that `examples` do not have.
    """
    measured = concepts_of(examples)
    splits = [
        balanced([e for e in examples if e.split == split], len(examples)) for split in HELD_OUT
    ]
    rank = {e.id: number for number, e in enumerate(chain(*splits))}
    by_concept = sorted(requests, key=lambda request: rank.get(request.id, len(rank)))
    return ObservedTexts(
        requests=_of_every_kind(by_concept, num_requests),
        documents=[d for d in documents if d.split == "heldout"][:num_texts],
        facts=balanced([e for e in described if e.concept not in measured], num_texts),
        examples=[example for split in splits for example in split[:num_texts]],
    )


def _of_every_kind(requests: Sequence[Request], count: int) -> list[Request]:
    """The first of every kind, then the second of every kind, and so on: `count` in all."""
    kinds: dict[tuple[bool, bool, str], list[Request]] = {}
    for request in requests:
        kinds.setdefault((request.harmful, request.framed, request.split), []).append(request)
    turns = zip_longest(*kinds.values())
    return [request for turn in turns for request in turn if request is not None][:count]


def observe(
    model: PreTrainedModel,
    untouched: PreTrainedModel,
    encoder: Encoder,
    chosen: ObservedTexts,
    generation: Generation,
    asking: Asking,
    selfie: Selfie,
    seed: int,
) -> Observations:
    """What a model does with all observed texts.

    The untouched model interprets its hidden states: a changed interpretation then comes from a
    changed state, not from a changed interpreter.
    """
    short = generation.model_copy(
        update={
            "samples": 1,
            "temperature": GREEDY_TEMPERATURE,
            "max_new_tokens": selfie.max_new_tokens,
        }
    )
    questions = [
        Request(f.id, asking.question.replace("{message}", f.prompt), False, False, f.split)
        for f in chosen.facts
    ]
    per_batch = generation.tokens_per_batch
    layer, position = asking.layer, asking.positions[0]
    states = example_states(
        model, encoder, chosen.examples, [layer], [position], selfie.texts_per_batch
    )[layer, position]
    return Observations(
        completions=complete(model, encoder, chosen.requests, generation, seed),
        likelihoods=likelihoods(model, untouched, encoder, chosen.documents, per_batch),
        agreements=agreements(model, untouched, encoder, chosen.documents, per_batch),
        facts=complete(model, encoder, questions, short, seed),
        interpretations=state_interpretations(
            untouched, encoder, states, chosen.examples, asking, selfie
        ),
    )


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
