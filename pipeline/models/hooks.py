"""Read or write a hidden state while a decoder runs.

Layers follow Hugging Face everywhere: 0 is the embeddings, l the output of block l - 1, which is
the input of block l, and the last one is taken after the final norm.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pipeline.core.sections import InjectionMode


class InjectionSettings(Protocol):
    """At the input of which block a vector is written, in which mode, and at what scale.

    `pipeline.core.sections.Asking` and `pipeline.selfie.any_decoder.Injection` are such settings.
    """

    @property
    def inject_layer(self) -> int: ...
    @property
    def mode(self) -> InjectionMode: ...
    @property
    def scale(self) -> float: ...


class _DeepEnough(Exception):  # noqa: N818 - no error: how a forward pass ends early
    """Nothing above the highest layer asked for needs to run."""


def unwrapped(model: Any) -> Any:
    """The model itself, or the one inside an adapter's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def decoder_of(model: Any) -> nn.Module:
    """The decoder without its language-model head, also inside an adapter's wrapper."""
    inner = unwrapped(model)
    decoder = inner.get_decoder()
    if decoder is inner:  # as Llama 4 says of itself
        decoder = inner.model
    assert isinstance(decoder, nn.Module)
    return decoder


def config_of(model: Any) -> Any:
    """The decoder's own configuration, also inside an adapter's wrapper or a multimodal model."""
    return decoder_of(model).config


@contextmanager
def running(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Within, the module runs this instead of its own forward."""
    former = vars(module).get("forward")
    vars(module)["forward"] = forward
    try:
        yield
    finally:
        del vars(module)["forward"]
        if former is not None:
            vars(module)["forward"] = former


def decoder_blocks(model: Any) -> nn.ModuleList:
    """The decoder's blocks in order. Raises ValueError where it has no such list."""
    decoder = decoder_of(model)
    count = config_of(model).num_hidden_layers
    for child in decoder.children():
        if isinstance(child, nn.ModuleList) and len(child) == count:
            return child
    raise ValueError(f"{type(decoder).__name__} has no list of {count} blocks")


@contextmanager
def around_blocks(model: Any, run: Callable[..., Any]) -> Iterator[None]:
    """Within, block l runs as run(l, forward, hidden, ...). Unlike a hook, this can decide how."""
    with ExitStack() as blocks:
        for layer, block in enumerate(decoder_blocks(model)):
            blocks.enter_context(running(block, partial(run, layer, block.forward)))
        yield


@contextmanager
def inputs_of(model: Any, block: int) -> Iterator[list[Tensor]]:
    """Within, a list of what this block is given [B, T, D], one forward after the other."""
    given: list[Tensor] = []

    def see(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given.append(args[0] if args else kwargs["hidden_states"])

    handle = decoder_blocks(model)[block].register_forward_pre_hook(see, with_kwargs=True)
    try:
        yield given
    finally:
        handle.remove()


def hidden_states(
    model: Any, ids: Tensor, mask: Tensor | None, layers: Sequence[int]
) -> dict[int, Tensor]:
    """The hidden states of chosen layers, each [B, T, D]; blocks above the highest do not run.

    ids: [B, T] token ids, or [B, T, D] vectors instead of their embeddings; mask: [B, T], 1 for
    real tokens, or None where none is padding.
    Raises ValueError for a layer that the model does not have.
    """
    blocks = decoder_blocks(model)
    if not layers or min(layers) < 0 or max(layers) > len(blocks):
        raise ValueError(f"layers {list(layers)}: the model has layers 0 to {len(blocks)}")
    top, found, handles = max(layers), {}, []

    def reader(layer: int) -> Any:
        def read(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            found[layer] = args[0] if args else kwargs["hidden_states"]
            if layer == top:
                raise _DeepEnough

        return read

    for layer in sorted(set(layers)):
        if layer < len(blocks):
            hook = blocks[layer].register_forward_pre_hook(reader(layer), with_kwargs=True)
            handles.append(hook)
    try:
        given = "inputs_embeds" if ids.is_floating_point() else "input_ids"
        output = decoder_of(model)(**{given: ids}, attention_mask=mask, use_cache=False)
        found[top] = output.last_hidden_state
    except _DeepEnough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return {layer: found[layer] for layer in layers}


@contextmanager
def injection(
    model: Any, settings: InjectionSettings, slots: Tensor, vectors: Tensor
) -> Iterator[None]:
    """Within, the first forward writes vectors over the input of block settings.inject_layer, at
    the tokens that `slots` marks.

    slots: bool [B, T], the shape of that forward's ids. vectors: [B, D], one a row, or [B, P, D],
    one for each of a row's slots in order; cast to the model's dtype and device. Where a single
    row of ids meets many rows of vectors, it is read once up to the block, and B times from there.
    With a key-value cache, writing at prefill equals writing at every step without one.
    Modes, with h the state and v the vector: replace h <- s v + (1 - s) h; add h <- h + s v;
    norm_matched h <- h + s |h| v / |v| (nothing where v is 0).
    Raises ValueError for a block that the model does not have, a row without a slot, fewer vectors
    than slots, vectors of another width, and an unknown mode.
    """
    blocks, block = decoder_blocks(model), settings.inject_layer
    if not 0 <= block < len(blocks):
        raise ValueError(f"block {block}: the model has blocks 0 to {len(blocks) - 1}")
    if not bool(slots.any(dim=1).all()):
        raise ValueError("a row has no placeholder to write to")
    if vectors.ndim == 3 and vectors.shape[1] < int(slots.sum(1).max()):
        raise ValueError(f"{vectors.shape[1]} vectors for {int(slots.sum(1).max())} placeholders")
    waiting = True

    def write(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        nonlocal waiting
        if not waiting:
            return None
        waiting = False
        hidden = args[0] if args else kwargs["hidden_states"]
        vector = vectors.to(hidden)
        if vector.shape[-1] != hidden.shape[-1]:
            raise ValueError(
                f"vectors of width {vector.shape[-1]} for a model of width {hidden.shape[-1]}"
            )
        if vector.ndim == 3:
            nearest = (slots.cumsum(1) - 1).clamp(min=0)[..., None]
            vector = vector.take_along_dim(nearest.to(hidden.device), dim=1)
        else:
            vector = vector[:, None, :]
        written = torch.where(
            slots[..., None], _written(hidden, vector, settings.mode, settings.scale), hidden
        )
        return (
            ((written, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": written})
        )

    handle = blocks[block].register_forward_pre_hook(write, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _ending_in(block: nn.Module, hidden: Tensor) -> Iterator[None]:
    """Within, what a block gives on is this hidden state, whatever it was given."""

    def replaced(_: nn.Module, __: Any, output: Any) -> Any:
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    handle = block.register_forward_hook(replaced)
    try:
        yield
    finally:
        handle.remove()


def normed(model: Any, hidden: Tensor) -> Tensor:
    """What the decoder makes of its last block's outputs [N, D]: its final norm, whatever that is
    called."""
    ids = torch.zeros(len(hidden), 1, dtype=torch.long, device=model.device)
    with _ending_in(decoder_blocks(model)[-1], hidden.to(model.device, model.dtype)[:, None]):
        found: Tensor = decoder_of(model)(input_ids=ids, use_cache=False).last_hidden_state
    return found[:, 0]


def read_injected(
    model: Any,
    ids: Tensor,
    settings: InjectionSettings,
    slots: Tensor,
    vectors: Tensor,
    **inputs: Tensor,
) -> Tensor:
    """The decoder's final hidden states [B, T, D] for ids [B, T] with vectors injected (injection).

    inputs: the attention mask and position ids of padded ids.
    """
    with injection(model, settings, slots, vectors):
        output = decoder_of(model)(input_ids=ids, use_cache=False, **inputs)
    hidden: Tensor = output.last_hidden_state
    return hidden


def _written(hidden: Tensor, vector: Tensor, mode: InjectionMode, scale: float) -> Tensor:
    match mode:
        case "replace":
            return scale * vector + (1 - scale) * hidden
        case "add":
            return hidden + scale * vector
        case "norm_matched":
            length: Tensor = hidden.norm(dim=-1, keepdim=True)
            return hidden + scale * length * nn.functional.normalize(vector, dim=-1)
    raise ValueError(f"mode {mode!r}: replace, add or norm_matched")
