"""An edit of a model: other weights for one named MLP, kept as a delta and undone exactly.

The edited MLP of layer l is that of block l - 1. What it adds to the residual stream is what
changes: hidden_states[l] = norm(mlp(pre)) + rest, where neither pre nor rest depends on its
weights; most models have no such norm, and then it does nothing.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.core.console import InputError
from pipeline.core.files import read_json, whole, write_json
from pipeline.models.hooks import decoder_blocks, hidden_states
from pipeline.models.nf4 import widen

DELTA, CARD = "delta.safetensors", "edit.json"


@dataclass(frozen=True)
class Edit:
    """What to add to the weights of one MLP: float32, by the name of its parameter.

    made_for: the digest of the one model that it may be applied to.
    """

    layer: int
    made_for: str
    delta: dict[str, Tensor]


def model_digest(card: Path, adapter: Path) -> str:
    """The SHA-256 digest of what a variant is: the base model's card, which names every file by
    its own digest, and the adapter."""
    digest = hashlib.sha256(card.read_bytes())
    digest.update((adapter / "adapter_model.safetensors").read_bytes())
    return digest.hexdigest()


def mlp_of(model: Any, layer: int) -> nn.Module:
    """The MLP whose output, normed or not, is added to what block layer - 1 gives to the next.

    Raises InputError for a layer without a next block, and for a block that does anything else
    with its MLP: that is looked at, not looked up.
    """
    blocks = decoder_blocks(model)
    if not 1 <= layer < len(blocks):
        raise InputError(
            f"params.yaml: an edit of layer {layer}: this model's MLPs are edited at layers 1 to "
            f"{len(blocks) - 1}; choose one of them"
        )
    block = blocks[layer - 1]
    mlp = getattr(block, "mlp", None)
    if not isinstance(mlp, nn.Module) or not _adds(model, layer, last_of(block)):
        raise InputError(
            f"{type(block).__name__} does not add what its MLP says to its hidden state; "
            "control needs a model that does, or no control.edits"
        )
    return mlp


def norm_of(block: Any) -> nn.Module:
    """What a block does to its MLP's output: the norm of Gemma 2 and OLMo 2, nothing elsewhere."""
    norm: nn.Module | None = getattr(block, "post_feedforward_layernorm", None)
    return norm or nn.Identity()


def last_of(block: Any) -> nn.Module:
    """The last module of a block's MLP branch."""
    last: nn.Module = getattr(block, "post_feedforward_layernorm", None) or block.mlp
    return last


@torch.no_grad()
def _adds(model: Any, layer: int, last: nn.Module) -> bool:
    """Whether what is added to a branch's output is added to the block's, no more and no less."""
    ids = torch.arange(3, 9, device=model.device)[None]
    before = hidden_states(model, ids, None, [layer])[layer]
    push = before.roll(1, dims=-1)  # as long as a state, so that rounding is small beside it

    def pushed(_: nn.Module, __: Any, output: Any) -> Any:
        return output + push if isinstance(output, Tensor) else output

    handle = last.register_forward_hook(pushed)
    try:
        after = hidden_states(model, ids, None, [layer])[layer]
    finally:
        handle.remove()
    gap = (after - before - push).float().norm() / push.float().norm()
    return bool(gap < (1e-3 if model.dtype == torch.float32 else 0.1))


def make_editable(model: Any, layers: Iterable[int]) -> None:
    """An edit adds to weights what 4 bits cannot hold: MLPs to be edited get the bfloat16 weights
    that theirs stand for. Others stay as they are."""
    for layer in sorted(set(layers)):
        widen(mlp_of(model, layer))


def difference(trained: nn.Module, original: nn.Module) -> dict[str, Tensor]:
    """What training added to every parameter of an MLP, in float32."""
    now, then = dict(trained.named_parameters()), dict(original.named_parameters())
    return {name: (now[name].float() - then[name].float()).detach() for name in sorted(now)}


@contextmanager
def applied(model: Any, edit: Edit) -> Iterator[None]:
    """Within, the model is the edited one. Its own tensors are laid aside, not computed back: what
    comes after has the very bits of what came before. Every other parameter stays where it is."""
    weights = dict(mlp_of(model, edit.layer).named_parameters())
    if {n: w.shape for n, w in weights.items()} != {n: d.shape for n, d in edit.delta.items()}:
        raise InputError(f"an edit's delta is not that of the MLP of layer {edit.layer} here")
    originals = {name: weight.data for name, weight in weights.items()}
    try:
        for name, weight in weights.items():
            delta = edit.delta[name].to(weight.device)
            weight.data = (originals[name].float() + delta).to(weight.dtype)
        yield
    finally:
        for name, weight in weights.items():
            weight.data = originals[name]


def save_edit(folder: Path, edit: Edit, notes: Mapping[str, float | int | str]) -> None:
    """Write a delta and its card, the same bytes every time."""
    with whole(folder) as draft:
        draft.mkdir()
        stored = {name: delta.contiguous().cpu() for name, delta in edit.delta.items()}
        save_file(stored, draft / DELTA)
        card = {"layer": edit.layer, "made_for": edit.made_for, "norm": _norm(edit), **notes}
        write_json(draft / CARD, card)


def load_edit(folder: Path, made_for: str) -> Edit:
    """An edit of the model with this digest. Raises InputError where it is another model's."""
    card = read_json(folder / CARD)
    if card["made_for"] != made_for:
        raise InputError(
            f"{folder} is an edit of another model ({card['made_for'][:12]}, not {made_for[:12]}); "
            "run the edits stage again"
        )
    return Edit(card["layer"], made_for, load_file(folder / DELTA))


def _norm(edit: Edit) -> float:
    return float(torch.stack([delta.norm() for delta in edit.delta.values()]).norm())
