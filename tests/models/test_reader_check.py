"""A way of reading is tried, not assumed; what fails for another reason is no architecture's."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.core.console import InputError
from pipeline.models import reader_check
from pipeline.models.hooks import decoder_blocks
from pipeline.models.packed_attention import attention
from pipeline.models.packing import read_padded, read_row
from pipeline.models.reader_check import reader_for
from tests.support.families import FAMILIES, family


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_packs(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reader_for(family(name), longest=20) is read_row


def test_what_cannot_pack_is_padded_with_a_warning() -> None:
    """Attention that ignores where texts end, as an unknown architecture's might."""
    model = family("llama")
    for block in decoder_blocks(model):
        former = block.self_attn.forward

        def forgetful(*args: object, former: Any = former, **kwargs: Any) -> Any:
            return former(*args, **{k: v for k, v in kwargs.items() if k != "segments"})

        block.self_attn.forward = forgetful
    with pytest.warns(UserWarning, match="LlamaModel cannot read packed rows; batches are padded"):
        assert reader_for(model, longest=20) is read_padded


def test_attention_that_forgets_its_window_is_padded() -> None:
    """PhiMoE has a window in its mask alone: found out where texts can be longer than it."""
    model = family("phimoe")
    with pytest.warns(UserWarning, match="cannot read packed rows"):
        assert reader_for(model, longest=20) is read_padded
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reader_for(model, longest=6) is read_row


@pytest.mark.parametrize("name", ["bloom", "llama4"])
def test_masks_and_biases_of_another_make_are_padded(name: str) -> None:
    with pytest.warns(UserWarning, match="cannot read packed rows"):
        assert reader_for(family(name), longest=20) is read_padded


def test_rotations_that_one_long_text_turns_are_refused() -> None:
    rope = {
        "rope_type": "longrope", "factor": 4.0, "rope_theta": 10000.0,
        "short_factor": [1.0] * 4, "long_factor": [2.0] * 4,
    }  # fmt: skip
    model = family("phi3", rope_parameters=rope, original_max_position_embeddings=10)
    assert reader_for(model, longest=10) is read_row
    with pytest.raises(InputError, match=r"more than 10 tokens; lower text\.prompt_tokens"):
        reader_for(model, longest=20)


def test_a_head_that_is_never_the_same_is_refused() -> None:
    model = family("llama")

    class Doubled(nn.Module):
        def __init__(self, head: Any) -> None:
            super().__init__()
            self.head, self.calls = head, 0

        def forward(self, hidden: Tensor) -> Tensor:
            self.calls += 1
            return self.head(hidden) * self.calls

    model.lm_head = Doubled(model.lm_head)
    with pytest.raises(
        InputError, match="LlamaModel: its logits are not made of its last states alone"
    ):
        reader_for(model, longest=20)


def test_damaged_weights_are_named() -> None:
    model = family("llama")
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(torch.nan)
    with pytest.raises(InputError, match="layer 0 are not finite; the model's weights are damaged"):
        reader_for(model, longest=20)


@torch.no_grad()
def test_the_model_is_left_as_it_was() -> None:
    model, ids = family("llama"), torch.tensor([[4, 8, 15, 16, 23]])
    before = model(ids).logits
    reader_for(model, longest=20)
    assert torch.equal(model(ids).logits, before)
    kind = model.config._attn_implementation
    with attention(model, "packed"), pytest.raises(NotImplementedError):
        model(ids, attention_mask=torch.ones(1, 1, 5, 5))
    assert model.config._attn_implementation == kind
    assert all("forward" not in vars(block) for block in decoder_blocks(model))


@pytest.mark.parametrize(
    "full",
    [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("can't allocate memory")],
)
def test_want_of_memory_is_no_trait_of_an_architecture(
    monkeypatch: pytest.MonkeyPatch, full: RuntimeError
) -> None:
    def read(*_: object, **__: object) -> None:
        raise full

    monkeypatch.setattr(reader_check, "read_row", read)
    with pytest.raises(RuntimeError) as raised:
        reader_for(family("llama"), longest=20)
    assert raised.value is full
