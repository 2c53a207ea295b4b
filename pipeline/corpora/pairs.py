"""Contrastive pairs: two different texts of one concept, drawn from a seed."""

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
    """Draw params.count pairs from the training texts; every pair is a fresh draw.

    labelling: `given`, or one of two controls: `shuffled` permutes the concepts among the texts;
    `length` labels a text by how long it is, which can be learned, but is none of the concepts.
    sampling: `random` draws a pair's concept in proportion to its texts; `balanced` runs through
    all concepts in random order before it repeats one, so that any run of consecutive pairs
    holds each concept equally often, to within one.
    Raises InputError where a concept has fewer than two training texts.
    """
    rng = rng_of(RandomStream.PAIRS, seed, LABELLINGS.index(labelling), SAMPLINGS.index(sampling))
    train = [example for example in examples if example.split == "train"]
    concepts = [example.concept for example in train]
    if labelling == "shuffled":
        concepts = [str(concept) for concept in rng.permutation(concepts)]
    if labelling == "length":
        concepts = lengths_of(train, len(set(concepts)))
    members = {name: np.flatnonzero(np.array(concepts) == name) for name in sorted(set(concepts))}
    for name, texts in members.items():
        if len(texts) < 2:
            raise InputError(f"concept {name!r} has one training text; a pair needs two: add texts")
    names = list(members)
    shows: list[Augmentation] = ["whole", "prompt", "response"]
    chances = [params.whole, params.prompt_only, params.response_only]
    shares = np.array([len(texts) for texts in members.values()]) / len(train)
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
        pairs.append(Pair(train[first].id, train[second].id, name, shown))
    return pairs


def lengths_of(texts: Sequence[Example], groups: int) -> list[str]:
    """Every text's length as a concept: `length_0` for the shortest, in equal groups."""
    ranks = np.argsort(
        np.argsort([len(text.prompt + text.response) for text in texts], kind="stable")
    )
    return [f"length_{rank * groups // len(texts)}" for rank in ranks]
