"""Rewards follow what an interpretation names; shuffled ones are the same numbers elsewhere."""

import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.params import Params
from pipeline.core.records import Example
from pipeline.edits.rewards import concept_reward, shuffled
from pipeline.models.encoding import Encoder
from pipeline.selfie.interpret import VectorInterpretation


def states(rows: int) -> torch.Tensor:
    return torch.randn(rows, 16, generator=torch.Generator().manual_seed(0))


def test_rewards_follow_the_interpretation_and_shuffling_moves_them(
    model: PreTrainedModel, encoder: Encoder, params: Params, examples: list[Example],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    answers = ["It is about fraud.", "It is about safe.", "It is unsafe.", "fraud and safe"]
    monkeypatch.setattr(
        "pipeline.edits.rewards.interpret_states",
        lambda *_: [VectorInterpretation(s, (), ()) for s in answers],
    )
    fraud = next(e for e in examples if e.concept == "fraud")
    reward = concept_reward(
        model, encoder, [fraud] * 4, ["fraud", "safe"], params.asking, params.selfie
    )
    assert reward(states(4), torch.arange(4)).tolist() == [1, -1, 0, -1]
    others = shuffled(reward, torch.Generator().manual_seed(3))
    many = [others(states(4), torch.arange(4)).tolist() for _ in range(20)]
    assert all(sorted(row) == [-1, -1, 0, 1] for row in many)
    assert len(set(map(tuple, many))) > 3
