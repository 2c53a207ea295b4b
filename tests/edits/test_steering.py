"""A steering vector moves one layer's states, and gets the strength that has a given effect."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedModel

from pipeline.edits.steering import equal_strength, steered
from pipeline.models.encoding import Encoder
from pipeline.models.hooks import hidden_states

STRENGTHS = (0.5, 1.0, 2.0, 4.0)


@torch.no_grad()
def test_a_vector_is_added_to_every_token_of_one_layer(
    model: PreTrainedModel, encoder: Encoder
) -> None:
    ids = torch.tensor([encoder("Explain rain.", "It falls.").ids])
    vector = torch.linspace(-1, 1, model.config.hidden_size)
    before, logits = hidden_states(model, ids, None, [0, 1]), model(ids).logits
    with steered(model, 1, vector):
        after, moved = hidden_states(model, ids, None, [0, 1]), model(ids).logits
    assert torch.equal(after[0], before[0])
    torch.testing.assert_close(after[1], before[1] + vector)
    assert not torch.allclose(moved, logits)
    assert torch.equal(model(ids).logits, logits), "undone"
    with steered(model, 1, 0 * vector):
        assert torch.equal(model(ids).logits, logits)


@pytest.mark.parametrize("side", [1, -1])
def test_the_strength_of_a_growing_effect_is_found_to_a_part_of_the_step(side: int) -> None:
    for target in (0.1, 0.7, 1.0, 3.3):
        match = equal_strength(lambda s: side * s, side * target, STRENGTHS, 6)
        assert match.is_reached
        assert match.edit_effect == side * target
        assert match.effect == side * match.strength
        assert abs(match.strength - target) <= 2 / 2**6


def test_what_no_strength_reaches_is_said() -> None:
    effects = {0.5: -0.1, 1.0: -0.3, 2.0: 0.2, 4.0: 0.4}
    match = equal_strength(effects.__getitem__, -0.5, STRENGTHS, 4)
    assert (match.is_reached, match.strength, match.effect) == (False, 1.0, -0.3)
    worse = equal_strength(lambda s: s, -0.5, STRENGTHS, 4)
    assert (worse.is_reached, worse.strength, worse.effect) == (False, 0.0, 0.0)


def test_an_edit_without_effect_is_equalled_by_no_vector() -> None:
    match = equal_strength(lambda _: pytest.fail("tried"), 0.0, STRENGTHS, 4)
    assert (match.is_reached, match.strength) == (True, 0.0)


@given(
    st.lists(st.floats(-1, 1), min_size=8, max_size=8),
    st.floats(-1, 1).filter(bool),
    st.integers(0, 4),
)
def test_no_strength_that_was_tried_comes_nearer(
    heights: list[float], target: float, halvings: int
) -> None:
    """Of any effect, growing or not."""
    tried = {0.0: 0.0}

    def effect_of(strength: float) -> float:
        tried[strength] = heights[int(strength * 7.9 / STRENGTHS[-1])]
        return tried[strength]

    match = equal_strength(effect_of, target, STRENGTHS, halvings)
    side = 1 if target > 0 else -1
    assert match.effect == tried[match.strength]
    assert match.is_reached == any(side * effect >= side * target for effect in tried.values())
    if match.is_reached:
        assert abs(match.effect - target) == min(abs(own - target) for own in tried.values())
    else:
        assert side * match.effect == max(side * own for own in tried.values())
