"""Rewards of hidden states, by what the model says of them when it reads them aloud."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.concepts import named_concepts
from pipeline.core.records import Example, Interpretation
from pipeline.core.sections import Asking, Selfie
from pipeline.models.encoding import Encoder
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
    """A judge by rule: 1 where the untouched model's reading of a state names the concept of its
    text and no other, -1 where it names others, 0 where it names none."""

    def reward(states: Tensor, chosen: Tensor) -> Tensor:
        asked = [examples[int(index)] for index in chosen]
        read = read_aloud(model, encoder, states, asked, asking, selfie)
        return torch.tensor([_reward(reading, concepts) for reading in read])

    return reward


def shuffled(reward: Reward, generator: torch.Generator) -> Reward:
    """The same rewards, given to other texts: what they do is not what they judge."""

    def given_to_others(states: Tensor, chosen: Tensor) -> Tensor:
        rewards = reward(states, chosen)
        return rewards[torch.randperm(len(rewards), generator=generator)]

    return given_to_others


def read_aloud(
    model: PreTrainedModel,
    encoder: Encoder,
    states: Tensor,
    examples: Sequence[Example],
    asking: Asking,
    selfie: Selfie,
) -> list[Interpretation]:
    """What the model, asked as it was taught, says of states [N, D]: one interpretation each."""
    readings = interpret_states(model, encoder, states, asking, selfie)
    return [
        Interpretation(
            example=example.id,
            concept=example.concept,
            split=example.split,
            layer=asking.layer,
            position=asking.positions[0],
            control="state",
            text=text,
            tokens=tokens,
            relevancy=relevancy,
        )
        for example, (text, tokens, relevancy) in zip(examples, readings, strict=True)
    ]


def _reward(reading: Interpretation, concepts: Sequence[str]) -> float:
    named = named_concepts(reading.text, concepts)
    if not named:
        return 0.0
    return 1.0 if named == {reading.concept} else -1.0
