"""Texts of several concepts: contrasted by the concepts that they share."""

import pytest
import torch
from torch import Tensor

from pipeline.core.records import Pair
from pipeline.training import losses
from pipeline.training.finetune_data import FinetuneData
from tests.training.test_losses import views


def sets_of(*texts: str, of: str = "abc") -> Tensor:
    """The labels of pairs, first all first texts and then all second ones: [B, 2, C]."""
    rows = torch.tensor([[float(c in text) for c in of] for text in texts])
    return torch.stack(rows.chunk(2), dim=1)


@pytest.mark.parametrize("name", ["infonce", "nt_xent", "supcon", "true_negatives", "fixed_head"])
def test_sets_of_one_concept_are_labels(name: str) -> None:
    z1, z2 = views(3, pairs=4)
    loss = losses.CONTRASTS[name]
    sets = sets_of("a", "b", "a", "c", "a", "b", "a", "c")
    assert torch.equal(loss(z1, z2, sets, 0.1), loss(z1, z2, torch.tensor([0, 1, 0, 2]), 0.1))


def test_texts_that_share_a_concept_are_no_negatives_and_disjoint_ones_are() -> None:
    """By hand, text by text."""
    z1, z2 = views(4, pairs=2)
    own = ["ab", "c", "a", "bc"]  # two pairs, which share a and c
    alike = [[bool({*one} & {*other}) for other in own] for one in own]
    cosines = torch.nn.functional.normalize(torch.cat([z1, z2]), dim=-1)
    similar = (cosines @ cosines.T / 0.1).exp()
    parts = []
    for i, partner in enumerate([2, 3, 0, 1]):
        negatives = sum(similar[i, j] for j in range(4) if not alike[i][j])
        parts.append(-(similar[i, partner] / (similar[i, partner] + negatives)).log())
    found = losses.true_negatives(z1, z2, sets_of(*own), 0.1)
    assert float(found) == pytest.approx(float(torch.stack(parts).mean()), rel=1e-5)
    positives = [
        torch.stack([similar[i, j] / (similar[i].sum() - similar[i, i]) for j in range(4)
                     if j != i and alike[i][j]]).log().mean()
        for i in range(4)
    ]  # fmt: skip
    supcon = losses.supcon(z1, z2, sets_of(*own), 0.1)
    assert float(supcon) == pytest.approx(-float(torch.stack(positives).mean()), rel=1e-5)


def test_labels_are_indices_until_a_text_has_several() -> None:
    pairs = [Pair("t", "u", "b", "whole"), Pair("t", "u", "a", "whole")]
    assert FinetuneData({}, pairs, []).labels_of(pairs).tolist() == [1, 0]
    both = [*pairs, Pair("t", "u", "b", "whole", (), ("a", "c"))]
    found = FinetuneData({}, both, []).labels_of(both[:1] + both[2:])
    assert found.tolist() == [[[0, 1, 0], [0, 1, 0]], [[0, 1, 0], [1, 1, 1]]]
