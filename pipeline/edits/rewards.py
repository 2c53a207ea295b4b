"""Rewards of hidden states, by the model's interpretations of them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.naming import named_concepts
from pipeline.core.records import Example, Interpretation
from pipeline.core.sections import Asking, Selfie
from pipeline.models.encoding import Encoder
from pipeline.selfie.controls import as_records
from pipeline.selfie.interpret import interpret_states

Reward = Callable[[Tensor, Tensor], Tensor]
"""States [T, D] and the indices [T] of their texts to rewards [T], each -1, 0 or 1."""


def concept_reward(
    model: PreTrainedModel,
    encoder: Encoder,
    examples: Sequence[Example],
    concepts: Sequence[str],
    asking: Asking,
    selfie: Selfie,
) -> Reward:
    """A reward by rule: 1 where the model's interpretation of a state names the concept of its text
    and no other, 0 where it names none, -1 otherwise."""

    def reward(states: Tensor, chosen: Tensor) -> Tensor:
        asked = [examples[int(index)] for index in chosen]
        found = state_interpretations(model, encoder, states, asked, asking, selfie)
        return torch.tensor([_reward(interpretation, concepts) for interpretation in found])

    return reward


def shuffled(reward: Reward, generator: torch.Generator) -> Reward:
    """The same rewards in a random order over a step's texts: a control, with the right sizes and
    nothing to learn from."""

    def given_to_others(states: Tensor, chosen: Tensor) -> Tensor:
        rewards = reward(states, chosen)
        return rewards[torch.randperm(len(rewards), generator=generator)]

    return given_to_others


def state_interpretations(
    model: PreTrainedModel,
    encoder: Encoder,
    states: Tensor,
    examples: Sequence[Example],
    asking: Asking,
    selfie: Selfie,
) -> list[Interpretation]:
    """The model's interpretations of examples' states [N, D] at asking.layer and the first of
    asking.positions: one record each."""
    answers = interpret_states(model, encoder, states, asking, selfie)
    return as_records(examples, answers, asking.layer, asking.positions[0], "state")


def _reward(interpretation: Interpretation, concepts: Sequence[str]) -> float:
    named = named_concepts(interpretation.text, concepts)
    if not named:
        return 0.0
    return 1.0 if named == {interpretation.concept} else -1.0
