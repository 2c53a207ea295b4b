"""Objectives of an adapter that has moved, and how far gradients are apart."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.params import Params
from pipeline.models.encoding import Encoder
from pipeline.models.lora import with_lora
from pipeline.training.objective import Objective
from tests.support.tiny import move


def moved_objective(
    params: Params,
    encoder: Encoder,
    model: PreTrainedModel,
    pairs_per_pass: int = 0,
    checkpointing: bool = False,
    **update: object,
) -> Objective:
    """An objective whose adapter has moved: LoRA's second factor is not 0."""
    finetuning, variant = params.finetune.model_copy(update=update), params.variants["sft_contrast"]
    adapted = move(with_lora(model, finetuning))
    return Objective(
        adapted, encoder, finetuning, variant, params.asking, checkpointing, pairs_per_pass
    )


def gap(found: Tensor, expected: Tensor, weights: list[Tensor]) -> float:
    """How far one gradient is from another, relative to it."""
    one, other = (
        torch.cat([gradient.flatten() for gradient in gradients])
        for gradients in (
            torch.autograd.grad(value, weights, retain_graph=True, materialize_grads=True)
            for value in (found, expected)
        )
    )
    return float((one - other).norm() / other.norm())
