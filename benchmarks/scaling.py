"""A finetune's change of the weights, scaled until the model is as far from the untouched one as is
wanted."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from math import log

import torch
from transformers import PreTrainedModel

LEAST, MOST = 1 / 8, 8.0  # scales that are tried
TOLERANCE = 0.01  # of the KL that is wanted
ROUNDS = 12


@dataclass(frozen=True)
class Match:
    """The scale that was found, the KL there, and whether that is the one that is wanted."""

    scale: float
    kl: float
    reached: bool


def matching_scale(kl_at: Callable[[float], float], wanted: float) -> Match:
    """The scale of a change of weights at which its KL is the wanted one, within TOLERANCE.

    A divergence grows nearly with the square of a small change. So the first step takes the scale
    by that rule, and later ones by the power that the last two scales show. A variant that does not
    reach it between LEAST and MOST, or within ROUNDS, is not matched.
    """
    scale, power = 1.0, 2.0
    kl = kl_at(scale)
    for _ in range(ROUNDS):
        if abs(kl / wanted - 1) <= TOLERANCE:
            return Match(scale, kl, True)
        if kl <= 0:
            break
        moved = min(max(scale * (wanted / kl) ** (1 / power), LEAST), MOST)
        if moved == scale:
            break
        there = kl_at(moved)
        if there > 0:
            power = max(log(there / kl) / log(moved / scale), 0.5)
        scale, kl = moved, there
    return Match(scale, kl, False)


@torch.no_grad()
def scaled(untouched: PreTrainedModel, tuned: PreTrainedModel, scale: float) -> PreTrainedModel:
    """A model whose weights are untouched + scale (tuned - untouched): 0 gives the first, 1 the
    second, bit by bit. With merged adapters that is LoRA's alpha times the scale."""
    model = copy.deepcopy(tuned)
    trios = zip(model.parameters(), untouched.parameters(), tuned.parameters(), strict=True)
    for weight, before, after in trios:
        weight.copy_(torch.lerp(before, after, scale))
    return model
