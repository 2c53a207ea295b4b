"""Key-value caches that are filled once, repeated for many rows, and grown without copying."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

from pipeline.core.console import InputError, is_out_of_memory
from pipeline.models.hooks import around_blocks, config_of, decoder_of

SPARE_TOKENS = 32  # tokens that memory is allocated for ahead of time


class PreallocatedLayer(DynamicLayer):
    """A cache layer that writes new tokens into memory allocated ahead.

    DynamicLayer concatenates, which copies every key and value at every step.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.buffers: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old = self.get_seq_length()
        new = old + key_states.shape[-2]
        if (
            self.buffers is None
            or self.buffers[0].shape[-2] < new
            or not self._is_stored_in(self.buffers[0])
        ):
            self.buffers = _buffer_like(key_states, new), _buffer_like(value_states, new)
            if self.keys is not None and self.values is not None and old:
                self.buffers[0][:, :, :old], self.buffers[1][:, :, :old] = self.keys, self.values
        keys, values = self.buffers
        keys[:, :, old:new], values[:, :, old:new] = key_states, value_states
        self.keys, self.values = keys[:, :, :new], values[:, :, :new]
        return self.keys, self.values

    def _is_stored_in(self, buffer: Tensor) -> bool:
        """Whether the keys still lie in the buffer: choosing or repeating rows copies them out."""
        return self.keys is not None and self.keys.data_ptr() == buffer.data_ptr()


def _buffer_like(states: Tensor, tokens: int) -> Tensor:
    """Uninitialised memory for keys or values [B, H, tokens + SPARE_TOKENS, D]."""
    size = list(states.shape)
    size[-2] = tokens + SPARE_TOKENS
    return states.new_empty(size)


def new_cache(model: Any) -> DynamicCache:
    """An empty cache.

    Raises InputError for a model that keeps more than keys and values, such as a recurrent state:
    that cannot be repeated or chosen by row.
    """
    cache = DynamicCache(config=config_of(model))
    if not all(_holds_keys_alone(la) for la in cache.layers):
        raise InputError(
            f"{type(decoder_of(model)).__name__} has layers that keep more than keys and values; "
            "choose a model of attention alone"
        )
    cache.layers = [PreallocatedLayer() if type(la) is DynamicLayer else la for la in cache.layers]
    return cache


def _holds_keys_alone(layer: object) -> bool:
    recurrent = isinstance(layer, LinearAttentionCacheLayerMixin)
    return isinstance(layer, DynamicLayer) and not recurrent


def prefilled_cache(model: Any, ids: Sequence[int]) -> DynamicCache:
    """The cache of one row of ids; empty where there are none. Raises InputError as new_cache."""
    cache = new_cache(model)
    if ids:
        row = torch.tensor([list(ids)], device=model.device)
        decoder_of(model)(input_ids=row, past_key_values=cache, use_cache=True)
    return cache


@torch.no_grad()
def check_cache(model: Any) -> None:
    """Raises InputError for a decoder that does not go on from a cache, repeated for more rows, as
    it reads a whole text. Some take a cache and leave it aside."""
    name, decoder = type(decoder_of(model)).__name__, decoder_of(model)
    ids = torch.arange(6, device=model.device)[None] % config_of(model).vocab_size
    cache = new_cache(model)
    try:
        whole = decoder(input_ids=ids, use_cache=False).last_hidden_state[:, 4:]
        decoder(input_ids=ids[:, :4], past_key_values=cache, use_cache=True)
        repeat_rows(cache, 2)
        rest = [
            decoder(
                input_ids=ids[:, at : at + 1].repeat(2, 1), past_key_values=cache, use_cache=True
            )
            for at in (4, 5)
        ]
        found = torch.cat([part.last_hidden_state for part in rest], 1)
        alike = bool((found - whole).float().norm() < 0.05 * 2**0.5 * whole.float().norm())
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        if is_out_of_memory(error):
            raise
        alike = False
    if not alike:
        raise InputError(
            f"{name} does not go on from a cache as it reads a whole text; choose one of another "
            "family"
        )


@contextmanager
def started_at_block(model: Any, block: int, states: Tensor, cache: Any) -> Iterator[None]:
    """Within, a forward starts at this block with states [B, T, D] as its input.

    The blocks below do not run. Their cache layers grow by T tokens of zeros, because a cache
    counts its tokens by them.
    """

    def run(layer: int, forward: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        if layer > block:
            return forward(hidden, *args, **kwargs)
        if layer == block:
            return forward(states, *args, **kwargs)
        skipped, tokens = cache.layers[layer], states.shape[1]
        skipped.update(*(_zeros_like(part, tokens) for part in (skipped.keys, skipped.values)))
        return hidden

    with around_blocks(model, run):
        yield


@torch.no_grad()
def can_start_at(model: Any, block: int) -> bool:
    """Whether a forward can start at a block. Not where the blocks below hand on more than a hidden
    state, such as the tokens that GLM's attend to."""
    cache = prefilled_cache(model, [0, 1])
    state = torch.zeros(1, 1, config_of(model).hidden_size, device=model.device, dtype=model.dtype)
    ids = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    try:
        with started_at_block(model, block, state, cache):
            decoder_of(model)(input_ids=ids, past_key_values=cache, use_cache=True)
    except (RuntimeError, ValueError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        return False
    return True


def _zeros_like(states: Tensor, tokens: int) -> Tensor:
    """Zeros of the shape of keys or values [B, H, T, D], for another number of tokens."""
    return states.new_zeros(*states.shape[:2], tokens, states.shape[3])


def repeat_rows(cache: Any, rows: int, layers: slice = slice(None)) -> None:
    """Repeat every row of chosen layers of a cache, in place, so many times."""
    for layer in cache.layers[layers]:
        layer.batch_repeat_interleave(rows)
