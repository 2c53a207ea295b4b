"""An edit of a model: a change of the weights of one MLP, stored as a delta and undone exactly.

The MLP of layer l is that of block l - 1. An edit changes what it adds to the residual stream:
hidden_states[l] = norm(mlp(pre)) + rest, where neither pre nor rest depends on its weights. Few
models have that norm; in all others it is the identity.
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
    """What is added to the weights of the MLP of a layer: float32 tensors, by parameter name.

    made_for: the digest of the one model that the edit may be applied to (model_digest).
    """

    layer: int
    made_for: str
    delta: dict[str, Tensor]


def model_digest(card: Path, adapter: Path) -> str:
    """The SHA-256 digest, in hex, that identifies a variant: of the base model's card, which holds
    a digest of every file of the model, and of the adapter's weights."""
    digest = hashlib.sha256(card.read_bytes())
    digest.update((adapter / "adapter_model.safetensors").read_bytes())
    return digest.hexdigest()


def mlp_of(model: Any, layer: int) -> nn.Module:
    """The MLP of block layer - 1, whose output is added to the residual stream, with or without a
    norm.

    Raises InputError for a layer without a next block, and for a block that does anything else with
    its MLP. That is tried out on the model, not looked up by architecture.
    """
    blocks = decoder_blocks(model)
    if not 1 <= layer < len(blocks):
        raise InputError(
            f"params.yaml: an edit of layer {layer}: this model's MLPs are edited at layers 1 to "
            f"{len(blocks) - 1}; choose one of them"
        )
    block = blocks[layer - 1]
    mlp = getattr(block, "mlp", None)
    if not isinstance(mlp, nn.Module) or not _adds_output(model, layer, mlp_branch_end(block)):
        raise InputError(
            f"{type(block).__name__} does not add its MLP's output to its hidden state; "
            "control needs a model that does, or no control.edits"
        )
    return mlp


def mlp_output_norm(block: Any) -> nn.Module:
    """The norm that a block applies to its MLP's output, as in Gemma 2 and OLMo 2; the identity in
    all others."""
    norm: nn.Module | None = getattr(block, "post_feedforward_layernorm", None)
    return norm or nn.Identity()


def mlp_branch_end(block: Any) -> nn.Module:
    """The last module of a block's MLP branch: that norm, or the MLP itself."""
    last: nn.Module = getattr(block, "post_feedforward_layernorm", None) or block.mlp
    return last


@torch.no_grad()
def _adds_output(model: Any, layer: int, last: nn.Module) -> bool:
    """Whether a change of the branch's output changes the block's output by the same vector."""
    ids = torch.arange(3, 9, device=model.device)[None]
    before = hidden_states(model, ids, None, [layer])[layer]
    change = before.roll(1, dims=-1)  # as long as a state, so that rounding is small beside it

    def changed(_: nn.Module, __: Any, output: Any) -> Any:
        return output + change if isinstance(output, Tensor) else output

    handle = last.register_forward_hook(changed)
    try:
        after = hidden_states(model, ids, None, [layer])[layer]
    finally:
        handle.remove()
    gap = (after - before - change).float().norm() / change.float().norm()
    return bool(gap < (1e-3 if model.dtype == torch.float32 else 0.1))


def make_editable(model: Any, layers: Iterable[int]) -> None:
    """Give the MLPs of layers that are to be edited bfloat16 weights of the same values: 4-bit
    weights cannot hold what an edit adds. Other MLPs stay as they are."""
    for layer in sorted(set(layers)):
        widen(mlp_of(model, layer))


def weight_difference(trained: nn.Module, original: nn.Module) -> dict[str, Tensor]:
    """Trained minus original weights of an MLP, in float32, by parameter name."""
    after, before = dict(trained.named_parameters()), dict(original.named_parameters())
    return {name: (after[name].float() - before[name].float()).detach() for name in sorted(after)}


@contextmanager
def applied(model: Any, edit: Edit) -> Iterator[None]:
    """Within, the model is the edited one.

    Afterwards it has its own tensors again, bit by bit: they are put aside, not computed back.
    Raises InputError for a delta of other names or shapes than those of the MLP.
    """
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
    """Write a delta (safetensors) and its card (JSON with the notes) into a new folder, the same
    bytes every time."""
    with whole(folder) as draft:
        draft.mkdir()
        stored = {name: delta.contiguous().cpu() for name, delta in edit.delta.items()}
        save_file(stored, draft / DELTA)
        card = {"layer": edit.layer, "made_for": edit.made_for, "norm": _norm(edit), **notes}
        write_json(draft / CARD, card)


def load_edit(folder: Path, made_for: str) -> Edit:
    """The edit in a folder. Raises InputError where it is not of the model with this digest."""
    card = read_json(folder / CARD)
    if card["made_for"] != made_for:
        raise InputError(
            f"{folder} is an edit of another model ({card['made_for'][:12]}, not {made_for[:12]}); "
            "run the edits stage again"
        )
    return Edit(card["layer"], made_for, load_file(folder / DELTA))


def _norm(edit: Edit) -> float:
    return float(torch.stack([delta.norm() for delta in edit.delta.values()]).norm())
