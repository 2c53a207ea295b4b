"""Rows of token ids as one batch, padded on the side where nothing is to follow or be read."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Side = Literal["left", "right"]


def padded(rows: Sequence[Sequence[int]], token: int, side: Side) -> tuple[Tensor, Tensor]:
    """Rows of ids filled up with a token: ids and mask [B, T], 1 where an id is real.

    On the left where a model is to go on after the last real token, which then stands last in
    every row; on the right otherwise, where real tokens keep their indices.
    """
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), token)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        start = longest - len(row) if side == "left" else 0
        ids[number, start : start + len(row)] = torch.tensor(row)
        mask[number, start : start + len(row)] = 1
    return ids, mask


def position_ids(mask: Tensor) -> Tensor:
    """Where each token of a batch stands among its row's real ones, from 0: [B, T]."""
    return (mask.cumsum(1) - 1).clamp(min=0)
