"""A packed text comes out as if it were read by itself, in every family of decoders."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from pipeline.models.encoding import Encoded
from pipeline.models.hooks import decoder_blocks
from pipeline.models.logits import logits_of
from pipeline.models.packing import pack, read_padded, read_row
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

    def outcome(stop: int, checkpointing: bool) -> tuple[Tensor, Tensor]:
        states: dict[int, Tensor] = {}
        final = read_row(model, row, states.__setitem__, stop, 2, checkpointing)
        assert final is not None
        loss = final.square().sum() + states[2].square().sum()
        return torch.autograd.grad(loss, weight)[0], final.detach()

    expected, complete = outcome(4, False)
    for stop, checkpointing in ((2, False), (2, True), (3, True)):
        gradient, final = outcome(stop, checkpointing)
        torch.testing.assert_close(final, complete, atol=1e-5, rtol=0)
        torch.testing.assert_close(gradient, expected, atol=1e-4, rtol=1e-5)
    assert len(complete) == 10


@torch.no_grad()
def test_where_no_text_goes_on_no_block_runs() -> None:
    model, row = family("llama"), pack(some_texts(4, 3))
    seen: dict[int, Tensor] = {}
    assert read_row(model, row, seen.__setitem__, stop=2, texts_above=0) is None
    assert sorted(seen) == [0, 1, 2]


@pytest.mark.parametrize("stop", [1, 3, 4])
@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_a_block_that_few_tokens_need_runs_for_them_alone(name: str, stop: int) -> None:
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
