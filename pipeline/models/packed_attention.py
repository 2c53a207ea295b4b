"""The attention of packed rows: every text of a row attends to itself alone.

Registered with transformers as the kind "packed", which `attention` switches on for a while. In
half precision on a CUDA card all texts are one call of FlashAttention's kernel for texts of any
lengths; elsewhere each is a call of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from pipeline.models.hooks import config_of


@contextmanager
def attention(model: Any, kind: str) -> Iterator[None]:
    """Within, the model's attention is of this kind. `packed`: a row's texts attend to themselves
    alone, and so does every text of a batch without padding."""
    config = config_of(model)
    former = config._attn_implementation
    config._attn_implementation = kind
    try:
        yield
    finally:
        config._attn_implementation = former


@dataclass
class Queries:
    """The tokens of a packed row that alone ask for attention, as indices [P], and the keys and
    values of all of its tokens, once those are known."""

    tokens: Tensor
    known: tuple[Tensor, Tensor] | None = None

    def seen(self, lengths: tuple[int, ...], window: int | None) -> Tensor:
        """Which tokens of the row each of them sees: [P, T]."""
        index = torch.arange(sum(lengths), device=self.tokens.device)
        text = torch.bucketize(index, _ends(lengths, self.tokens.device)[1:], right=True)
        behind = self.tokens[:, None] - index
        alike = text[self.tokens][:, None] == text
        return alike & (behind >= 0) & (behind < (window or len(index)))


class KeysKnown(Exception):  # noqa: N818 - no error: how a block ends once its keys are made
    """What a block was run for is there."""


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    segments: tuple[int, ...] | None = None,
    queries: Queries | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each segment: query [B, H, T, D], key and value with H or fewer
    heads, to [B, T, H, D]. Without segments, every row of the batch is one.

    Where a block runs for a few tokens alone it runs twice: `queries` first takes the keys and
    values of all (raises KeysKnown), and then gives them to the queries [B, H, P, D] of its tokens.
    """
    if attention_mask is not None or any(others.get(name) is not None for name in UNKNOWN):
        raise NotImplementedError("attention of a kind that cannot be packed")
    if queries:
        if queries.known is None:
            queries.known = key, value
            raise KeysKnown
        lengths = segments or (queries.known[0].shape[2],)
        seen = queries.seen(lengths, sliding_window)
        out = _attend_where(query, *queries.known, seen, scaling, dropout, softcap)
        return out.transpose(1, 2), None
    lengths = segments or (query.shape[2],)
    bounded = softcap is not None or (sliding_window or max(lengths)) < max(lengths)
    if not bounded and not dropout and _has_kernel(query, value):
        return _attend_at_once(query, key, value, lengths, scaling), None
    parts = [
        _attend_whole(q, k, v, scaling, dropout, sliding_window, softcap)
        for q, k, v in zip(*(x.split(lengths, dim=2) for x in (query, key, value)), strict=True)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2), None


LONGEST_BY_PRODUCTS = 512  # tokens of a text
UNKNOWN = ("s_aux", "position_bias", "cache")  # what other decoders' attention may ask for


def _has_kernel(query: Tensor, value: Tensor) -> bool:
    """Whether FlashAttention takes one row of such heads here."""
    rows, width = query.shape[0], query.shape[-1]
    return (
        query.is_cuda
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
        and query.dtype in (torch.bfloat16, torch.float16)
        and rows == 1
        and width == value.shape[-1]
        and width % 8 == 0
        and width <= 256
    )


def _attend_at_once(
    query: Tensor, key: Tensor, value: Tensor, lengths: tuple[int, ...], scaling: float | None
) -> Tensor:
    ends, longest = _ends(lengths, query.device), max(lengths)
    tokens, keys, values = (x[0].transpose(0, 1) for x in (query, key, value))
    grouped, causal = query.shape[1] != key.shape[1], (-1, 0)
    out = varlen_attn(
        tokens, keys, values, ends, ends, longest, longest,
        scale=scaling, window_size=causal, enable_gqa=grouped,
    )  # fmt: skip
    assert isinstance(out, Tensor)
    return out[None]


@lru_cache(maxsize=4)  # every block of a pass asks for the same, and a copy would wait for the card
def _ends(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """Where segments begin and the last one ends: int32 [N + 1]."""
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)


def _attend_whole(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float | None,
    dropout: float,
    window: int | None,
    softcap: float | None,
) -> Tensor:
    length, grouped = query.shape[2], query.shape[1] != key.shape[1]
    if window is not None and window >= length:
        window = None
    if window is None and softcap is None:
        if not dropout and _is_slow_in_torch(query):
            return _attend_by_products(query, key, value, scaling)
        return F.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, is_causal=True, scale=scaling, enable_gqa=grouped
        )
    index = torch.arange(length, device=query.device)
    behind = index[:, None] - index[None, :]
    seen = (behind >= 0) & (behind < (window or length))
    return _attend_where(query, key, value, seen, scaling, dropout, softcap)


def _is_slow_in_torch(query: Tensor) -> bool:
    """Whether torch's own attention takes several times as long as two matrix products: in
    bfloat16 on a CPU, for texts whose scores fit into its caches."""
    return (
        query.device.type == "cpu"
        and query.dtype == torch.bfloat16
        and query.shape[2] <= LONGEST_BY_PRODUCTS
    )


def _attend_by_products(query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
    """Causal attention by two matrix products: query [B, H, L, D], key and value with H or fewer
    heads. Heads that share a key are one matrix; scores are summed and weighed in float32."""
    rows, heads, length, width = query.shape
    groups = rows * key.shape[1]
    keys, values = (x.reshape(groups, length, -1) for x in (key, value))
    scores = torch.bmm(query.reshape(groups, -1, width), keys.transpose(1, 2)).float()
    hidden = torch.full((length, length), -torch.inf, device=query.device).triu_(1)
    scores = scores.view(groups, -1, length, length) * (scaling or width**-0.5) + hidden
    weights = scores.softmax(-1).to(query.dtype).view(groups, -1, length)
    return torch.bmm(weights, values).view(rows, heads, length, -1)


def _attend_where(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    seen: Tensor,
    scaling: float | None,
    dropout: float,
    softcap: float | None,
) -> Tensor:
    """Attention of queries [B, H, Q, D] to the keys [B, H or fewer, T, D] that each sees [Q, T]."""
    grouped = query.shape[1] != key.shape[1]
    if softcap is None:
        return F.scaled_dot_product_attention(
            query, key, value, seen, dropout, scale=scaling, enable_gqa=grouped
        )
    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], dim=1) for x in (key, value))
    scores = query @ key.transpose(2, 3) * (scaling or query.shape[-1] ** -0.5)
    scores = (softcap * torch.tanh(scores / softcap)).masked_fill(~seen, -torch.inf)
    weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
    return F.dropout(weights, dropout) @ value


ALL_ATTENTION_FUNCTIONS.register("packed", _attend)
