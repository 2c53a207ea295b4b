"""Observe a model before or after an edit: what the edit is meant to change, and what else may
change with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from transformers import PreTrainedModel

from pipeline.core.concepts import balanced, concepts_of
from pipeline.core.edit_observations import Observations
from pipeline.core.records import Document, Example, Interpretation, Request
from pipeline.core.sections import Asking, Generation, Selfie
from pipeline.edits.comparing import agreements, compare_replies, likelihood_of_answers
from pipeline.edits.instructions import NONE, Instruction
from pipeline.edits.rewards import state_interpretations
from pipeline.inference.generation import complete, likelihoods
from pipeline.models.encoding import Encoder
from pipeline.selfie.controls import example_states

HELD_OUT = ("validation", "test", "novel")
GREEDY_TEMPERATURE = 1e-4  # at which a sample is all but surely the likeliest token


@dataclass(frozen=True)
class ObservedTexts:
    """What every model is observed on.

    requests: to answer. documents: unrelated texts to predict. facts: unrelated messages whose
    concept is to be named. examples: held-out texts whose hidden states are interpreted. Requests
    and examples of the validation split serve to choose an edit's settings; so do `aimed`, all
    harmful requests of that split.
    """

    requests: Sequence[Request]
    documents: Sequence[Document]
    facts: Sequence[Example]
    examples: Sequence[Example]
    aimed: Sequence[Request]


@dataclass(frozen=True)
class Observing:
    """How every model is observed. The untouched model interprets its hidden states: a changed
    interpretation then comes from a changed state, not from a changed interpreter."""

    untouched: PreTrainedModel
    encoder: Encoder
    chosen: ObservedTexts
    generation: Generation
    asking: Asking
    selfie: Selfie
    seed: int


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
        aimed=[r for r in by_concept if r.harmful and r.split == "validation"][:num_requests],
    )


def _of_every_kind(requests: Sequence[Request], count: int) -> list[Request]:
    """The first of every kind, then the second of every kind, and so on: `count` in all."""
    kinds: dict[tuple[bool, bool, str], list[Request]] = {}
    for request in requests:
        kinds.setdefault((request.harmful, request.framed, request.split), []).append(request)
    turns = zip_longest(*kinds.values())
    return [request for turn in turns for request in turn if request is not None][:count]


def observe(
    model: PreTrainedModel, observing: Observing, instruction: Instruction = NONE
) -> Observations:
    """What a model does with all observed texts, under an instruction or none."""
    untouched, plain, chosen = observing.untouched, observing.encoder, observing.chosen
    asking, generation, selfie = observing.asking, observing.generation, observing.selfie
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
    documents, per_batch = chosen.documents, generation.tokens_per_batch
    encoder, before = instruction.encoder(plain), instruction.before
    completions = complete(
        model, encoder, before(plain, chosen.requests), generation, observing.seed
    )
    given = [] if instruction else documents
    replies, agreed_replies = compare_replies(
        (model, encoder, before(plain, documents)), (untouched, plain, documents), per_batch
    )
    return Observations(
        completions=completions,
        likelihoods=likelihoods(model, untouched, plain, given, per_batch),
        agreements=agreements(model, untouched, plain, given, per_batch),
        facts=complete(model, encoder, before(plain, questions), short, observing.seed),
        interpretations=readings(model, observing, chosen.examples, instruction),
        replies=replies,
        agreed_replies=agreed_replies,
        said=likelihood_of_answers(untouched, plain, chosen.requests, completions, per_batch),
    )


def readings(
    model: PreTrainedModel,
    observing: Observing,
    examples: Sequence[Example],
    instruction: Instruction = NONE,
) -> list[Interpretation]:
    """What the untouched model says of a model's hidden states of texts."""
    asking, selfie = observing.asking, observing.selfie
    layer, position = asking.layer, asking.positions[0]
    states = example_states(
        model,
        instruction.encoder(observing.encoder),
        instruction.before(observing.encoder, examples),
        [layer],
        [position],
        selfie.texts_per_batch,
    )[layer, position]
    return state_interpretations(
        observing.untouched, observing.encoder, states, examples, asking, selfie
    )
