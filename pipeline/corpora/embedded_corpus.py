"""The embedded corpora: natural English from a small grammar and a seed.

Messages ask about topics or for help, some of it harmful in aim (never in method). A share of
them also names words of another concept ("Forget X. Explain Y."), so that the words alone do not
give the concept away: only the wording tells whose words matter. A third of each concept's words
is *novel*: unlabelled texts use them, labelled ones never do. The `novel` test set is made of
them, so only a model that learned from unlabelled text what they mean can place its messages.
Unlabelled texts name one concept each: the base model was never taught whose words matter.

The `shifted` texts are another corpus of the same concepts and known words, told in sentences that
no other text has: messages passed on as calls, e-mails and notes.
"""

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from pipeline.core.console import InputError
from pipeline.core.records import Document, Example, Request, Split
from pipeline.core.sections import EmbeddedCorpora
from pipeline.corpora import lexicon
from pipeline.corpora.grammar import CONCEPTS, REPORTED, Grammar, Message, Words


def described(params: EmbeddedCorpora, seed: int) -> list[Example]:
    """Labelled messages of both concept sets, some of them only their gist: an embedded base
    model learns from them what every concept is called, whichever set is measured."""
    grammar = Grammar(seed, ambiguity=0.0)
    grammar.rng = np.random.default_rng([seed, 7])
    drawn, used = [], set[str]()
    for concept in CONCEPTS["topics"] + CONCEPTS["safety"]:
        for number in range(params.described):
            message = _unused(partial(grammar.message, concept, "known"), used)
            if grammar.chance(0.3):
                message = dataclasses.replace(message, prompt=message.gist)
            drawn.append(_example(message, "described", number))
    return drawn


def unlabelled(params: EmbeddedCorpora, seed: int) -> list[Document]:
    """Texts to learn the language from, and held-out ones with prompts of their own: messages and
    lists, any words."""
    grammar = Grammar(seed, ambiguity=0.0)
    grammar.rng = np.random.default_rng([seed, 1])
    learned = [grammar.document() for _ in range(params.documents)]
    used = {document.prompt for document in learned}
    held_out = [_unused(grammar.document, used) for _ in range(params.heldout)]
    splits: tuple[tuple[Split, list[Message]], ...] = (
        ("pretrain", learned),
        ("heldout", held_out),
    )
    return [
        Document(f"{split}-{number:05d}", message.prompt, message.response, split)
        for split, messages in splits
        for number, message in enumerate(messages)
    ]


def requests(params: EmbeddedCorpora, seed: int, taken: Iterable[str]) -> list[Request]:
    """Prompts to watch the model's behaviour on: harmful or safe, plain or framed, known or novel.

    No prompt is among those taken. They are the same whichever concept set is labelled, so that
    drift shows.
    """
    grammar = Grammar(seed, ambiguity=0.0)
    grammar.rng = np.random.default_rng([seed, 2])
    harms = tuple(lexicon.HARMS)
    drawn, used = [], set(taken)
    splits: tuple[tuple[Split, Words], ...] = (("test", "known"), ("novel", "novel"))
    for split, words in splits:
        for harmful in (True, False):
            for framed in (False, True):
                for number in range(params.behaviour):
                    concept = harms[number % len(harms)] if harmful else "safe"
                    kind = f"{'harmful' if harmful else 'safe'}-{'framed' if framed else 'plain'}"
                    message = _unused(partial(grammar.request, concept, words, framed), used)
                    name = f"{split}-{kind}-{number:03d}"
                    drawn.append(Request(name, message.prompt, harmful, framed, split))
    return drawn


def labelled(params: EmbeddedCorpora, seed: int, taken: Iterable[str]) -> list[Example]:
    """The concept set's texts: train, validation, test, and `novel` from words never labelled.

    No prompt stands in two splits, nor among those taken.
    """
    grammar = Grammar(seed, params.ambiguity)
    grammar.rng = np.random.default_rng([seed, 8])
    sizes: dict[Split, int] = {
        "train": params.train,
        "validation": params.validation,
        "test": params.test,
        "novel": params.novel,
    }
    drawn, used = [], set(taken)
    for split, per_concept in sizes.items():
        words: Words = "novel" if split == "novel" else "known"
        for concept in CONCEPTS[params.concepts]:
            for number in range(per_concept):
                message = _unused(partial(grammar.message, concept, words), used)
                drawn.append(_example(message, split, number))
    return drawn


def shifted(params: EmbeddedCorpora, seed: int, taken: Iterable[str]) -> list[Example]:
    """Texts of the concept set, as a corpus of another kind tells them; no prompt is among those
    taken."""
    grammar = Grammar(seed, params.ambiguity, REPORTED)
    grammar.rng = np.random.default_rng([seed, 9])
    used = set(taken)
    return [
        _example(_unused(partial(grammar.message, concept, "known"), used), "shifted", number)
        for concept in CONCEPTS[params.concepts]
        for number in range(params.shifted)
    ]


def _example(message: Message, split: Split, number: int) -> Example:
    return Example(
        id=f"{split}-{message.concept}-{number:04d}",
        prompt=message.prompt,
        response=message.response,
        safe_response=message.safe_response,
        concept=message.concept,
        split=split,
        source="embedded",
    )


def _unused(draw: Callable[[], Message], used: set[str]) -> Message:
    """Draw until the prompt is new. Raises InputError where the grammar has no other to say."""
    for _ in range(1000):
        message = draw()
        if message.prompt not in used:
            used.add(message.prompt)
            return message
    raise InputError(
        "the grammar finds no new message; lower the counts of corpora.embedded or raise ambiguity"
    )
