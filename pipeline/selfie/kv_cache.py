"""Key-value caches that are read once, given to many rows, and grown without copying."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

from pipeline.core.console import InputError
from pipeline.models.hooks import around_blocks, config_of, decoder_of

ROOM = 32  # tokens that are made room for at a time


class RoomyLayer(DynamicLayer):
    """A layer of a cache that writes new tokens into room it keeps for them: appending would copy
    all that is there at every step."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.room: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old = self.get_seq_length()
        new = old + key_states.shape[-2]
        if self.room is None or self.room[0].shape[-2] < new or not self._fills(self.room[0]):
            self.room = self._with_room(key_states, new), self._with_room(value_states, new)
            if self.keys is not None and self.values is not None and old:
                self.room[0][:, :, :old], self.room[1][:, :, :old] = self.keys, self.values
        keys, values = self.room
        keys[:, :, old:new], values[:, :, old:new] = key_states, value_states
        self.keys, self.values = keys[:, :, :new], values[:, :, :new]
        return self.keys, self.values

    def _fills(self, room: Tensor) -> bool:
        """Whether the keys are still the room's own: choosing or repeating rows copies them."""
        return self.keys is not None and self.keys.data_ptr() == room.data_ptr()

    @staticmethod
    def _with_room(states: Tensor, tokens: int) -> Tensor:
        size = list(states.shape)
        size[-2] = tokens + ROOM
        return states.new_empty(size)


def new_cache(model: Any) -> DynamicCache:
    """An empty cache. Raises InputError for a model that keeps other things than keys and values,
    which cannot be repeated or chosen by row."""
    cache = DynamicCache(config=config_of(model))
    if not all(_holds_keys_alone(la) for la in cache.layers):
        raise InputError(
            f"{type(decoder_of(model)).__name__} has layers that keep more than keys and values; "
            "choose a model of attention alone"
        )
    cache.layers = [RoomyLayer() if type(la) is DynamicLayer else la for la in cache.layers]
    return cache


def _holds_keys_alone(layer: object) -> bool:
    recurrent = isinstance(layer, LinearAttentionCacheLayerMixin)
    return isinstance(layer, DynamicLayer) and not recurrent


def read_ids(model: Any, ids: Sequence[int]) -> DynamicCache:
    """The cache of one row of ids."""
    cache = new_cache(model)
    if ids:
        row = torch.tensor([list(ids)], device=model.device)
        decoder_of(model)(input_ids=row, past_key_values=cache, use_cache=True)
    return cache


@contextmanager
def begun_at(model: Any, block: int, states: Tensor, cache: Any) -> Iterator[None]:
    """Within, a forward begins at this block with states [B, T, D]: the blocks below it only leave
    room in the cache, which counts tokens by them."""

    def run(layer: int, forward: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        if layer > block:
            return forward(hidden, *args, **kwargs)
        if layer == block:
            return forward(states, *args, **kwargs)
        kept, tokens = cache.layers[layer], states.shape[1]
        kept.update(*(_zeros_like(part, tokens) for part in (kept.keys, kept.values)))
        return hidden

    with around_blocks(model, run):
        yield


def _zeros_like(states: Tensor, tokens: int) -> Tensor:
    """Keys or values [B, H, T, D] of other tokens."""
    return states.new_zeros(*states.shape[:2], tokens, states.shape[3])


def repeated(cache: Any, rows: int, layers: slice = slice(None)) -> Any:
    """Give every row of a batch a copy of what layers of a cache of one row hold."""
    for layer in cache.layers[layers]:
        layer.batch_repeat_interleave(rows)
    return cache
