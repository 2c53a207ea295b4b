"""A cache that keeps room holds what one that copies holds."""

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM, Lfm2Config
from transformers.cache_utils import DynamicLayer

from pipeline.core.console import InputError
from pipeline.selfie.kv_cache import ROOM, RoomyLayer, new_cache
from tests.support.families import SIZE


def test_room_changes_nothing() -> None:
    """Beyond its room, in copies, and after rows were repeated, chosen and put in another order."""
    generator = torch.Generator().manual_seed(0)
    plain, roomy = DynamicLayer(), RoomyLayer()
    rows = 1
    for step in range(3 * ROOM):
        tokens = 5 if step == 0 else 1
        new = [torch.randn(rows, 2, tokens, 4, generator=generator) for _ in range(2)]
        found, expected = roomy.update(*new), plain.update(*new)
        assert all(torch.equal(f, e) for f, e in zip(found, expected, strict=True)), step
        assert roomy.get_seq_length() == 5 + step
        for layer in (plain, roomy):
            if step == 3:
                layer.batch_repeat_interleave(4)
            if step == 10:
                layer.batch_select_indices(torch.tensor([0, 2, 3]))
            if step == 20:
                layer.reorder_cache(torch.tensor([2, 0, 0]))
        rows = 1 if step < 3 else 4 if step < 10 else 3
        kept = copy.deepcopy(roomy)
        kept.update(*[torch.zeros(rows, 2, 1, 4)] * 2)  # a copy's room is its own


def test_a_model_that_keeps_other_things_is_refused() -> None:
    size = {name: number for name, number in SIZE.items() if "token" not in name}
    config = Lfm2Config(**size, layer_types=["conv", "full_attention"] * 2)
    with pytest.raises(InputError, match="Lfm2Model has layers that keep more than keys"):
        new_cache(AutoModelForCausalLM.from_config(config))
