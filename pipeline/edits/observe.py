"""Look at a model before and after an edit: what was meant to change, and what was not."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

import torch
from transformers import PreTrainedModel

from pipeline.core.concepts import balanced, concepts_of
from pipeline.core.edit_observations import Observations
from pipeline.core.records import Agreement, Document, Example, Request
from pipeline.core.sections import Asking, Generation, Selfie
from pipeline.edits.rewards import read_aloud
from pipeline.inference.generation import complete, likelihoods
from pipeline.models.encoding import Encoder, token_batches
from pipeline.models.hooks import decoder_of
from pipeline.models.logits import logits_of
from pipeline.selfie.controls import example_states

HELD_OUT = ("validation", "test", "novel")
GREEDY = 1e-4  # a temperature at which sampling is a search for the likeliest answer


@dataclass(frozen=True)
class Probes:
    """What is asked of every model: requests, unrelated documents, unrelated messages whose
    concept is to be named (facts), and held-out texts whose hidden states are read aloud.

    Of requests and texts, those of the validation split are there to choose an edit's settings."""

    requests: Sequence[Request]
    documents: Sequence[Document]
    facts: Sequence[Example]
    examples: Sequence[Example]


def choose_probes(
    requests: Sequence[Request],
    documents: Sequence[Document],
    described: Sequence[Example],
    examples: Sequence[Example],
    num_requests: int,
    num_texts: int,
) -> Probes:
    """At most so many of each, of every kind alike, and of texts in every split. Requests that are
    labelled texts' prompts take turns by concept: no harm is left to the others. Facts are of
    concepts that are not measured."""
    measured = concepts_of(examples)
    splits = [
        balanced([e for e in examples if e.split == split], len(examples)) for split in HELD_OUT
    ]
    turns = {e.id: turn for turn, e in enumerate(chain(*splits))}
    by_concept = sorted(requests, key=lambda request: turns.get(request.id, len(turns)))
    return Probes(
        requests=_of_every_kind(by_concept, num_requests),
        documents=[d for d in documents if d.split == "heldout"][:num_texts],
        facts=balanced([e for e in described if e.concept not in measured], num_texts),
        examples=[example for split in splits for example in split[:num_texts]],
    )


def _of_every_kind(requests: Sequence[Request], count: int) -> list[Request]:
    kinds: dict[tuple[bool, bool, str], list[Request]] = {}
    for request in requests:
        kinds.setdefault((request.harmful, request.framed, request.split), []).append(request)
    turns = zip_longest(*kinds.values())
    return [request for turn in turns for request in turn if request is not None][:count]


def observe(
    model: PreTrainedModel,
    untouched: PreTrainedModel,
    encoder: Encoder,
    probes: Probes,
    generation: Generation,
    asking: Asking,
    selfie: Selfie,
    seed: int,
) -> Observations:
    """Ask everything of a model. Its hidden states are read aloud by the untouched one, so that a
    changed reading is a changed state and no changed reader."""
    short = generation.model_copy(
        update={"samples": 1, "temperature": GREEDY, "max_new_tokens": selfie.max_new_tokens}
    )
    questions = [
        Request(f.id, asking.question.replace("{message}", f.prompt), False, False, f.split)
        for f in probes.facts
    ]
    per_batch = generation.tokens_per_batch
    place = asking.layer, asking.positions[0]
    states = example_states(
        model, encoder, probes.examples, place[:1], place[1:], selfie.texts_per_batch
    )[place]
    return Observations(
        completions=complete(model, encoder, probes.requests, generation, seed),
        likelihoods=likelihoods(model, untouched, encoder, probes.documents, per_batch),
        agreements=agreements(model, untouched, encoder, probes.documents, per_batch),
        facts=complete(model, encoder, questions, short, seed),
        interpretations=read_aloud(untouched, encoder, states, probes.examples, asking, selfie),
    )


@torch.no_grad()
def agreements(
    tuned: PreTrainedModel,
    untouched: PreTrainedModel,
    encoder: Encoder,
    documents: Sequence[Document],
    tokens_per_batch: int,
) -> list[Agreement]:
    """At how many of each document's tokens both models find the same next token likeliest."""
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
            said, meant = (
                logits_of(model, states[row, :length]).argmax(-1)
                for model, states in zip((tuned, untouched), hidden, strict=True)
            )
            found[index] = Agreement(documents[index].id, length, int((said == meant).sum()))
    return [found[index] for index in range(len(documents))]
