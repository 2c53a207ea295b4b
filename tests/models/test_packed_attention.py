"""One call of the card's kernel for a whole row is one call for each of its texts."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from pipeline.models import packed_attention

LENGTHS = (5, 1, 9, 3)


def heads(
    count: int, width: int = 8, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    drawn = torch.randn(1, sum(LENGTHS), count, width, generator=generator)
    return drawn.to(device, dtype).transpose(1, 2).requires_grad_()  # as a decoder gives them


def attend(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
    said: Any = {"attention_mask": None, "segments": LENGTHS, **options}
    return packed_attention._attend(torch.nn.Module(), query, key, value, **said)[0]


def as_documented(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float,
    window_size: tuple[int, int],
    enable_gqa: bool,
) -> Tensor:
    """What torch says varlen_attn computes, by one mask over the whole row [T, H, D]."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert max_q == max_k == int(cu_seq_q.diff().max())
    assert window_size == (-1, 0), "causal"
    assert enable_gqa == (query.shape[1] != key.shape[1])
    index = torch.arange(len(query))
    text = torch.bucketize(index, cu_seq_q[1:], right=True)
    seen = (text[:, None] == text) & (index[:, None] >= index)
    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], dim=1) for x in (key, value))
    scores = torch.einsum("ihd,jhd->hij", query, key) * scale
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    return torch.einsum("hij,jhd->ihd", weights, value)


@pytest.mark.parametrize("groups", [4, 2])
def test_one_call_is_one_a_text(monkeypatch: pytest.MonkeyPatch, groups: int) -> None:
    """The kernel stands in as torch documents it: its arguments mean the same."""
    query, key, value = heads(4), heads(groups), heads(groups)
    expected = attend(query, key, value, scaling=0.3)
    gradients = torch.autograd.grad(expected.square().sum(), (query, key, value))
    monkeypatch.setattr(packed_attention, "_has_kernel", lambda *_: True)
    monkeypatch.setattr(packed_attention, "varlen_attn", as_documented)
    found = attend(query, key, value, scaling=0.3)
    torch.testing.assert_close(found, expected)
    for gradient, other in zip(
        torch.autograd.grad(found.square().sum(), (query, key, value)), gradients, strict=True
    ):
        torch.testing.assert_close(gradient, other)


def test_the_kernel_takes_what_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own operator, there and back, by shapes alone: it runs on a card only."""
    monkeypatch.setattr(packed_attention, "_has_kernel", lambda *_: True)
    packed_attention._ends.cache_clear()
    with FakeTensorMode():
        query, key, value = (
            torch.empty(1, count, sum(LENGTHS), 8, dtype=torch.bfloat16, requires_grad=True)
            for count in (4, 2, 2)
        )
        found = attend(query, key, value, scaling=0.3)
        assert found.shape == (1, sum(LENGTHS), 4, 8)
        found.sum().backward()
        assert key.grad is not None
        assert key.grad.shape == key.shape
    packed_attention._ends.cache_clear()


@pytest.mark.parametrize(
    ("options", "once"),
    [
        ({}, True),
        ({"sliding_window": 9}, True),  # no text is longer
        ({"sliding_window": 4}, False),
        ({"softcap": 2.0}, False),
        ({"dropout": 0.5}, False),
    ],
)
def test_what_the_kernel_does_not_do_is_done_text_by_text(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], once: bool
) -> None:
    calls: list[str] = []

    def kernel(*args: Any) -> Tensor:
        calls.append("once")
        return torch.zeros(1, sum(LENGTHS), 2, 8)

    monkeypatch.setattr(packed_attention, "_has_kernel", lambda *_: True)
    monkeypatch.setattr(packed_attention, "_attend_at_once", kernel)
    attend(heads(2), heads(2), heads(2), **options)
    assert bool(calls) == once


class OnCard:
    """A tensor as it would be on a card, as far as the choice looks."""

    def __init__(self, dtype: torch.dtype = torch.bfloat16, rows: int = 1, width: int = 64):
        self.is_cuda, self.device, self.dtype = True, torch.device("cuda"), dtype
        self.shape = (rows, 4, 18, width)


@pytest.mark.parametrize(
    ("query", "capability", "expected"),
    [
        (OnCard(), (8, 0), True),
        (OnCard(torch.float16), (9, 0), True),
        (OnCard(torch.float32), (9, 0), False),
        (OnCard(), (7, 5), False),
        (OnCard(rows=2), (8, 0), False),
        (OnCard(width=320), (8, 0), False),
        (OnCard(width=20), (8, 0), False),
    ],
)
def test_the_kernel_is_for_half_precision_on_a_card(
    monkeypatch: pytest.MonkeyPatch, query: Any, capability: tuple[int, int], expected: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert packed_attention._has_kernel(query, query) == expected
    assert not packed_attention._has_kernel(query, OnCard(width=72))  # type: ignore[arg-type]
    assert not packed_attention._has_kernel(heads(4, dtype=torch.bfloat16), query)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA card is here")
@pytest.mark.parametrize("groups", [4, 2])
def test_on_a_card_both_ways_are_alike(monkeypatch: pytest.MonkeyPatch, groups: int) -> None:
    query, key, value = (
        heads(count, 64, torch.bfloat16, "cuda").detach().requires_grad_()
        for count in (4, groups, groups)
    )
    outcomes = []
    for there in (True, False):
        if not there:
            monkeypatch.setattr(packed_attention, "_has_kernel", lambda *_: False)
        found = attend(query, key, value, scaling=0.1)
        gradients = torch.autograd.grad(found.float().square().sum(), (query, key, value))
        outcomes.append([found, *gradients])
    for one, other in zip(*outcomes, strict=True):
        assert float((one - other).float().norm() / other.float().norm()) < 0.02


@pytest.mark.parametrize("groups", [4, 2, 1])
def test_two_products_are_torchs_own_attention(
    monkeypatch: pytest.MonkeyPatch, groups: int
) -> None:
    """In bfloat16 on a CPU: as near to float32's numbers as torch's own kernel comes."""
    wide = heads(4), heads(groups), heads(groups)
    narrow = [x.detach().bfloat16().requires_grad_() for x in wide]

    def outcome(inputs: Sequence[Tensor]) -> list[Tensor]:
        out = attend(*inputs, scaling=0.3)
        return [out, *torch.autograd.grad(out.float().square().sum(), inputs)]

    exact, products = outcome(wide), outcome(narrow)
    monkeypatch.setattr(packed_attention, "LONGEST_BY_PRODUCTS", 0)
    for found, own, expected in zip(products, outcome(narrow), exact, strict=True):
        assert found.dtype == torch.bfloat16
        assert found.shape == expected.shape
        assert not torch.equal(found, own), "computed another way"
        scale = expected.norm()
        assert (found - expected).norm() / scale < 2 * (own - expected).norm() / scale + 1e-3
