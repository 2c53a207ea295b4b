"""Affine maps of hidden states: from one model's to another's (Patchscopes, arXiv 2401.06102), or
from states to vectors that a model can put into words (trained adapters, arXiv 2602.10352).

    affine = fit_affine(states_of_one_layer, states_of_another_layer)  # of the same texts
    interpret(model, tokenizer, prompt, texts, layers=[2], adapter=affine)

`interpret` is pipeline.selfie.any_decoder's; its `source` is for states of another model.
examples/affine.py interprets every layer of a finished run through such maps. Beside them stands a
map that was fitted on shuffled pairs, which shows what a map alone makes a model say.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.core.console import InputError
from pipeline.core.files import whole


@dataclass(frozen=True)
class AffineMap:
    """v -> A v + b, with weight A [E, D], [D] for a diagonal one or [] for one scale, and bias b
    [E].

    Raises InputError for other shapes."""

    weight: Tensor
    bias: Tensor

    def __post_init__(self) -> None:
        fits = self.weight.ndim == 0 or self.bias.shape == self.weight.shape[:1]
        if self.weight.ndim > 2 or self.bias.ndim != 1 or not fits:
            raise InputError(
                f"an affine map of weight {list(self.weight.shape)} and bias "
                f"{list(self.bias.shape)}; it takes [E, D], [D] or [], and [E]"
            )

    def __call__(self, vectors: Tensor) -> Tensor:
        """Map vectors [..., D] to [..., E]. Raises InputError for vectors of another width."""
        width = (self.weight if self.weight.ndim else self.bias).shape[-1]
        if vectors.shape[-1] != width:
            raise InputError(
                f"vectors of width {vectors.shape[-1]} for an affine map of width {width}"
            )
        weight, bias = self.weight.to(vectors), self.bias.to(vectors)
        return (vectors @ weight.T if weight.ndim == 2 else vectors * weight) + bias


def fit_affine(source: Tensor, target: Tensor) -> AffineMap:
    """The least-squares map from source [N, D] to target [N, E], row by row, fitted in float64.

    With fewer rows than dimensions, many maps fit alike: this is the one with the smallest A.
    Raises InputError for fewer than two pairs, and for states that are not finite.
    """
    if len(source) != len(target) or len(source) < 2:
        raise InputError(f"{len(source)} states and {len(target)} others are not two or more pairs")
    given, wanted = source.double(), target.double()
    if not bool(torch.isfinite(given).all() and torch.isfinite(wanted).all()):
        raise InputError("a state to fit an affine map to is not finite")
    centre, goal = given.mean(0), wanted.mean(0)
    weight = torch.linalg.lstsq(given - centre, wanted - goal, driver="gelsd").solution.T
    return AffineMap(weight.float(), (goal - weight @ centre).float())


def save_affine(path: Path, affine: AffineMap) -> None:
    """Write a map as safetensors of `weight` and `bias`."""
    with whole(path) as draft:
        save_file({"weight": affine.weight.contiguous(), "bias": affine.bias.contiguous()}, draft)


def load_affine(path: Path) -> AffineMap:
    """An affine map or trained adapter, from safetensors of `weight` and `bias`. Raises InputError
    for any other file."""
    try:
        tensors = load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; give a safetensors file") from None
    except SafetensorError as error:
        raise InputError(f"{path} is no safetensors file: {error}") from None
    if set(tensors) != {"weight", "bias"}:
        raise InputError(f"{path} holds {sorted(tensors)}; an affine map is `weight` and `bias`")
    return AffineMap(**tensors)
