"""A preallocated cache holds what one that concatenates holds."""

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM, Lfm2Config
from transformers.cache_utils import DynamicLayer

from pipeline.core.console import InputError
from pipeline.selfie.kv_cache import SPARE_TOKENS, PreallocatedLayer, new_cache
from tests.support.families import SIZE


def test_a_preallocated_layer_equals_one_that_concatenates() -> None:
    """Beyond its spare tokens, in copies, and after rows were repeated, chosen and reordered."""
    generator = torch.Generator().manual_seed(0)
    plain, preallocated = DynamicLayer(), PreallocatedLayer()
    rows = 1
    for step in range(3 * SPARE_TOKENS):
        tokens = 5 if step == 0 else 1
        new = [torch.randn(rows, 2, tokens, 4, generator=generator) for _ in range(2)]
        found, expected = preallocated.update(*new), plain.update(*new)
        assert all(torch.equal(f, e) for f, e in zip(found, expected, strict=True)), step
        assert preallocated.get_seq_length() == 5 + step
        for layer in (plain, preallocated):
            if step == 3:
                layer.batch_repeat_interleave(4)
            if step == 10:
                layer.batch_select_indices(torch.tensor([0, 2, 3]))
            if step == 20:
                layer.reorder_cache(torch.tensor([2, 0, 0]))
        rows = 1 if step < 3 else 4 if step < 10 else 3
        kept = copy.deepcopy(preallocated)
        kept.update(*[torch.zeros(rows, 2, 1, 4)] * 2)  # a copy's buffers are its own


def test_a_model_that_keeps_more_than_keys_and_values_is_refused() -> None:
    size = {name: number for name, number in SIZE.items() if "token" not in name}
    config = Lfm2Config(**size, layer_types=["conv", "full_attention"] * 2)
    with pytest.raises(InputError, match="Lfm2Model has layers that keep more than keys"):
        new_cache(AutoModelForCausalLM.from_config(config))
