"""Contrastive pairs: two different texts of one concept, drawn from a seed."""

from collections.abc import Sequence

import numpy as np

from pipeline.console import InputError
from pipeline.params import Labelling, Pairs, Sampling
from pipeline.records import Augmentation, Example, Pair

LABELLINGS: tuple[Labelling, ...] = ("given", "shuffled")
SAMPLINGS: tuple[Sampling, ...] = ("random", "balanced")


def draw_pairs(
    examples: Sequence[Example],
    labelling: Labelling,
    sampling: Sampling,
    params: Pairs,
    seed: int,
) -> list[Pair]:
    """Draw params.count pairs from the training texts; every pair is a fresh draw.

    labelling: `given`, or `shuffled`, the control, which permutes the concepts among the texts.
    sampling: `random` draws a pair's concept in proportion to its texts; `balanced` runs through
    all concepts in random order before it repeats one, so that any run of consecutive pairs
    holds each concept equally often, to within one.
    Raises InputError where a concept has fewer than two training texts.
    """
    rng = np.random.default_rng([seed, 4, LABELLINGS.index(labelling), SAMPLINGS.index(sampling)])
    train = [example for example in examples if example.split == "train"]
    concepts = [example.concept for example in train]
    if labelling == "shuffled":
        concepts = [str(concept) for concept in rng.permutation(concepts)]
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
