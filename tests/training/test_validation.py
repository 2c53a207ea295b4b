"""What the learning curve reads is what is measured afterwards, of concepts in turn."""

import math

import numpy as np
import pytest
import torch

from pipeline.core.records import Example
from pipeline.evaluation.separation import cosine_gaps
from pipeline.training.validation import cosine_gap, in_turn


def test_the_gap_is_that_of_the_evaluation() -> None:
    vectors = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0, 1, 1, 0, 2, 2])
    centred = (vectors - vectors.mean(0)).double().numpy()
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    (expected,) = cosine_gaps(unit @ unit.T, labels.numpy()[None])
    assert cosine_gap(vectors, labels) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_without_pairs_of_both_kinds_there_is_no_gap(labels: list[int]) -> None:
    assert math.isnan(cosine_gap(torch.eye(3), torch.tensor(labels)))


def test_concepts_take_turns() -> None:
    examples = [
        Example(f"{number}", "", "", "", concept, "", "validation")
        for number, concept in enumerate("aaabbc")
    ]
    assert [example.id for example in in_turn(examples)] == ["0", "3", "5", "1", "4", "2"]
