"""A packed text comes out as if it were read by itself, in every family of decoders."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from pipeline.core.console import InputError
from pipeline.models.encoding import Encoded
from pipeline.models.hooks import decoder_blocks
from pipeline.models.logits import logits_of
from pipeline.models.packed_attention import attention
from pipeline.models.packing import pack, read_padded, read_row
from pipeline.models.reader_check import reader_for
from tests.support.families import FAMILIES, family


def some_texts(*lengths: int) -> list[Encoded]:
    generator = torch.Generator().manual_seed(1)
    return [
        Encoded(tuple(torch.randint(3, 97, (n,), generator=generator).tolist()), n // 2, n - 1)
        for n in lengths
    ]


def alone(model: PreTrainedModel, text: Encoded) -> tuple[Tensor, Tensor]:
    """The oracle: hidden states [layers, T, D] and logits [T, V] from the model's own forward."""
    output = model(torch.tensor([text.ids]), output_hidden_states=True)
    return torch.stack(output.hidden_states)[:, 0], output.logits[0]


@pytest.mark.parametrize("read", [read_row, read_padded])
@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_packed_equals_one_by_one(name: str, read: Any) -> None:
    model, texts = family(name), some_texts(9, 1, 14, 6)
    states: dict[int, Tensor] = {}
    final = read(model, pack(texts), states.__setitem__)
    found = torch.stack([states[layer] for layer in sorted(states)])
    expected = [alone(model, text) for text in texts]
    torch.testing.assert_close(
        found, torch.cat([states for states, _ in expected], 1), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        logits_of(model, final), torch.cat([logits for _, logits in expected]), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_texts_that_stop_change_nothing_above(name: str) -> None:
    """Nor do they change a gradient, with or without checkpointing."""
    model, texts = family(name), some_texts(9, 1, 14, 6)
    row, weight = pack(texts), next(decoder_blocks(model)[0].parameters())

    def slope(stop: int, checkpointing: bool) -> tuple[Tensor, Tensor]:
        states: dict[int, Tensor] = {}
        final = read_row(model, row, states.__setitem__, stop, 2, checkpointing)
        assert final is not None
        loss = final.square().sum() + states[2].square().sum()
        return torch.autograd.grad(loss, weight)[0], final.detach()

    expected, whole = slope(4, False)
    for stop, checkpointing in ((2, False), (2, True), (3, True)):
        gradient, final = slope(stop, checkpointing)
        torch.testing.assert_close(final, whole, atol=1e-5, rtol=0)
        torch.testing.assert_close(gradient, expected, atol=1e-4, rtol=1e-5)
    assert len(whole) == 10


@torch.no_grad()
def test_where_no_text_goes_on_no_block_runs() -> None:
    model, row = family("llama"), pack(some_texts(4, 3))
    seen: dict[int, Tensor] = {}
    assert read_row(model, row, seen.__setitem__, stop=2, texts_above=0) is None
    assert sorted(seen) == [0, 1, 2]


@pytest.mark.parametrize("stop", [1, 3, 4])
@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_a_block_that_few_places_need_runs_for_them_alone(name: str, stop: int) -> None:
    model, texts = family(name), some_texts(9, 1, 14, 6)
    row, block = pack(texts), decoder_blocks(model)[stop - 1]
    needed = torch.cat([row.prompt_end, row.last]).unique()
    seen, narrow, widths = {}, {}, []
    (*_, head) = (part for part in block.modules() if isinstance(part, nn.Linear | Conv1D))
    read_row(model, row, seen.__setitem__, stop, None)
    handle = head.register_forward_pre_hook(lambda _, args: widths.append(args[0].shape[-2]))
    read_row(model, row, narrow.__setitem__, stop, None if stop == 4 else 0, needed=needed)
    handle.remove()
    torch.testing.assert_close(narrow[stop][needed], seen[stop][needed], atol=1e-5, rtol=0)
    others = torch.ones(len(row.ids), dtype=torch.bool).index_fill_(0, needed, False)
    assert narrow[stop][others].isnan().all()
    assert widths == [len(needed)], "the MLP's last projection"


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
    with pytest.raises(InputError, match="hidden states are not finite; its weights are damaged"):
        reader_for(model, longest=20)


@torch.no_grad()
def test_the_model_is_left_as_it_was() -> None:
    model, text = family("llama"), some_texts(5)[0]
    before = alone(model, text)[1]
    reader_for(model, longest=20)
    assert torch.equal(alone(model, text)[1], before)
    kind = model.config._attn_implementation
    with attention(model, "packed"), pytest.raises(NotImplementedError):
        model(torch.tensor([text.ids]), attention_mask=torch.ones(1, 1, 5, 5))
    assert model.config._attn_implementation == kind
    assert all("forward" not in vars(block) for block in decoder_blocks(model))


def test_positions_of_a_row() -> None:
    texts = [Encoded((5, 6, 7), 1, 2), Encoded((8,), 0, 0), Encoded((9, 10), 0, 1)]
    row = pack(texts)
    hidden = torch.arange(6.0)[:, None]
    assert row.at(hidden, "last")[:, 0].tolist() == [2, 3, 5]
    assert row.at(hidden, "prompt_end")[:, 0].tolist() == [1, 3, 4]
    assert row.at(hidden, "mean")[:, 0].tolist() == [1, 3, 4.5]
    assert row.at(hidden, "mean", slice(1, 3))[:, 0].tolist() == [3, 4.5]
    assert row.position_ids.tolist() == [0, 1, 2, 0, 0, 1]
    assert row.predicting().tolist() == [0, 1, 4]
    assert row.predicting(slice(1, 3)).tolist() == [4]
    assert row.first(2).ids.tolist() == [5, 6, 7, 8]
    assert row.tokens(slice(1, 3)) == slice(3, 6)
