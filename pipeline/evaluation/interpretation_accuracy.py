"""Does the model's own description of a hidden state name its concept, and more than a guess?

Intervals resample prompts: texts that share one come and go together. All shares are of the same
resamples, so that two of them can be held against each other text by text.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.core.files import Tree
from pipeline.core.records import BASELINES, CONTROLS, Example, Interpretation
from pipeline.evaluation.bootstrap import (
    Counts,
    Estimate,
    Vector,
    draw_labellings,
    draw_prompts,
    draw_resamples,
    estimate_chance,
    estimate_mean,
    put,
)

Place = tuple[str, ...]  # layer_<l>, split, position, and what is measured there
Shares = dict[Place, Vector]  # on resamples [1 + R]
CHANGES = ("state", "lead", *BASELINES)  # what is held against the untouched model


def accuracies(
    interpretations: Sequence[Interpretation],
    right: Sequence[bool],
    prompts: Mapping[str, str],
    resamples: int,
    seed: int,
) -> Shares:
    """The share of interpretations that a judge finds right, on resamples, by place.

    right: the verdict on each interpretation. prompts: of every example. `state` is the
    interpretation itself, every other name a control or a baseline: what the question, a random
    vector or another state gives away, what the words say, and what the logit lens sees. `lead` is
    the state's share less that of the best control, which is the one that is right most often.
    """
    texts: dict[Place, list[str]] = {}
    verdicts: dict[Place, list[float]] = {}
    for record, found in zip(interpretations, right, strict=True):
        place: Place = (f"layer_{record.layer}", record.split, record.position, record.control)
        texts.setdefault(place, []).append(prompts[record.example])
        verdicts.setdefault(place, []).append(float(found))
    drawn: dict[tuple[str, ...], Counts] = {}
    shares: Shares = {}
    for place, asked in texts.items():
        if tuple(asked) not in drawn:
            drawn[tuple(asked)] = draw_prompts(asked, resamples, seed)
        counts = drawn[tuple(asked)]
        shares[place] = counts @ np.array(verdicts[place]) / counts.sum(1)
    return shares | {
        (*place, "lead"): lead(shares, place) for place in dict.fromkeys(p[:-1] for p in shares)
    }


def lead(shares: Shares, place: Place) -> Vector:
    controls = [shares[*place, control] for control in CONTROLS if (*place, control) in shares]
    best = max(controls, key=lambda share: float(share[0]))
    ahead: Vector = shares[*place, "state"] - best
    return ahead


def metrics_of(shares: Shares, untouched: Shares | None) -> Tree:
    """All shares with intervals, and under `difference` how far the state's, its lead and the
    baselines are above the untouched model's, of the same texts. A control has none: which one is
    best may differ between the two models."""
    tree: dict[str, Any] = {}
    for place, values in shares.items():
        put(tree, place, values)
        if untouched is not None and place[-1] in CHANGES:
            put(tree, ("difference", *place), values - untouched[place])
    return tree


def judge_measures(
    chosen: Mapping[str, str],
    named: Mapping[tuple[str, str], int],
    examples: Sequence[Example],
    resamples: int,
    seed: int,
) -> dict[str, Estimate]:
    """What a judge model is worth. chosen: the concept that it chooses, by text. named: how often
    a text was said of a state, for every text that names one concept by rule, and that concept.

    agreement: the share of what was said of states and names one concept for which the judge
    chooses that concept. A text weighs as often as it was said, and its interval resamples distinct
    texts: the judge decides a text once. words: how often it chooses the concept of examples shown
    their own words, and words_shuffled the same by permuted concepts: the mean, and the range of
    95 % of the permutations.
    """
    found: dict[str, Estimate] = {}
    if named:
        agrees = np.array([chosen[text] == concept for text, concept in named], dtype=float)
        said = draw_resamples(len(named), resamples, seed) * np.array([*named.values()])
        found["agreement"] = estimate_mean(agrees, said)
    words = np.array([chosen[example.words] for example in examples])
    concepts = np.array([example.concept for example in examples])
    right = (draw_labellings(concepts, resamples, seed) == words).astype(float)
    counts = draw_prompts([example.prompt for example in examples], resamples, seed)
    found["words"] = estimate_mean(right[0], counts)
    found["words_shuffled"] = estimate_chance(right.mean(1))
    return found
