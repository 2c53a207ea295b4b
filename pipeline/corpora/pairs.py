"""Contrastive pairs: two different texts that share a concept, drawn from a seed."""

from collections.abc import Sequence
from typing import get_args

import numpy as np

from pipeline.core.console import InputError
from pipeline.core.random_streams import RandomStream, rng_of
from pipeline.core.records import Augmentation, Example, Pair
from pipeline.core.sections import Labelling, Pairs, Sampling

LABELLINGS: tuple[Labelling, ...] = get_args(Labelling)
SAMPLINGS: tuple[Sampling, ...] = get_args(Sampling)


def draw_pairs(
    examples: Sequence[Example],
    labelling: Labelling,
    sampling: Sampling,
    params: Pairs,
    seed: int,
) -> list[Pair]:
    """Draw params.count pairs from the training texts; every pair is a fresh draw. A text of
    several concepts is a text of each.

    labelling: `given`, or one of two controls: `shuffled` permutes the concepts among the texts, a
    text's concepts together; `length` labels a text by how long it is, which can be learned, but is
    none of the concepts.
    sampling: `random` draws a pair's concept in proportion to its texts; `balanced` runs through
    all concepts in random order before it repeats one, so that any run of consecutive pairs
    holds each concept equally often, to within one.
    Raises InputError where a concept has fewer than two training texts.
    """
    rng = rng_of(RandomStream.PAIRS, seed, LABELLINGS.index(labelling), SAMPLINGS.index(sampling))
    train = [example for example in examples if example.split == "train"]
    concepts = [example.concepts for example in train]
    known = sorted({concept for own in concepts for concept in own})
    if labelling == "shuffled":
        concepts = [concepts[index] for index in rng.permutation(len(concepts))]
    if labelling == "length":
        concepts = [(name,) for name in lengths_of(train, len(known))]
        known = sorted({name for (name,) in concepts})
    members = {name: np.flatnonzero([name in own for own in concepts]) for name in known}
    for name, texts in members.items():
        if len(texts) < 2:
            raise InputError(f"concept {name!r} has one training text; a pair needs two: add texts")
    names = list(members)
    shows: list[Augmentation] = ["whole", "prompt", "response"]
    chances = [params.whole, params.prompt_only, params.response_only]
    sizes = np.array([len(texts) for texts in members.values()])
    shares = sizes / sizes.sum()
    pairs = []
    for number in range(params.count):
        if sampling == "random":
            name = names[rng.choice(len(names), p=shares)]
        else:
            if number % len(names) == 0:
                round_ = rng.permutation(len(names))
            name = names[round_[number % len(names)]]
        first, second = rng.choice(members[name], size=2, replace=False)
        shown = shows[rng.choice(3, p=chances)]
        also = [tuple(c for c in concepts[text] if c != name) for text in (first, second)]
        pairs.append(Pair(train[first].id, train[second].id, name, shown, *also))
    return pairs


def lengths_of(texts: Sequence[Example], groups: int) -> list[str]:
    """Every text's length as a concept: `length_0` for the shortest, in equal groups."""
    ranks = np.argsort(
        np.argsort([len(text.prompt + text.response) for text in texts], kind="stable")
    )
    return [f"length_{rank * groups // len(texts)}" for rank in ranks]
