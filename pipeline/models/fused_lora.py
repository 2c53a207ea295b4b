"""LoRA's linear maps (arXiv 2106.09685), each as one operation.

PEFT computes y = W x, then B A x, then their sum, and keeps what each made. Here the low-rank part
is added in place and nothing but x and A x is kept: the same numbers in less memory and time.
Products are of the model's dtype, and their sums of float32; adapters and their gradients stay in
their own dtype. PEFT multiplies in the adapters' dtype: in a bfloat16 model on a CPU, that costs as
much as all frozen weights together.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.nf4 import dequantised, is_quantised, state_of
from pipeline.models.peft_import import BaseTunerLayer, LoraLayer, PeftModel


def fuse(adapted: PeftModel) -> None:
    """Let every plain linear map of an adapter run as one operation, its base weights of any dtype.

    Others stay as PEFT has them: transposed base weights, DoRA and its kin.
    """
    for module in adapted.modules():
        if isinstance(module, LoraLayer) and _is_plain(module):
            vars(module)["forward"] = partial(_forward, module)


@contextmanager
def switched_off(adapted: PeftModel) -> Iterator[None]:
    """Within, the model is the untouched one.

    PEFT's own way also switches off the adapter's gradients, which sharded weights do not survive.
    """
    layers: list[Any] = [m for m in adapted.modules() if isinstance(m, BaseTunerLayer)]
    former = [layer._disable_adapters for layer in layers]
    for layer in layers:
        layer._disable_adapters = True
    try:
        yield
    finally:
        for layer, switch in zip(layers, former, strict=True):
            layer._disable_adapters = switch


def _is_plain(module: Any) -> bool:
    (name,) = module.active_adapters
    return (
        (type(module.base_layer) is nn.Linear or is_quantised(module.base_layer))
        and module.lora_B[name].bias is None
        and not module.lora_variant
    )


def _forward(module: Any, inputs: Tensor) -> Tensor:
    base = module.base_layer
    if module.disable_adapters or module.merged:
        return base(inputs)  # type: ignore[no-any-return]
    (name,) = module.active_adapters
    down, up = module.lora_A[name].weight, module.lora_B[name].weight
    dropout = module.lora_dropout[name]
    dropped = dropout(inputs) if dropout.training and isinstance(dropout, nn.Dropout) else None
    out: Tensor = _LowRank.apply(  # type: ignore[no-untyped-call]
        inputs, dropped, base.weight, base.bias, down, up, module.scaling[name]
    )
    return out


class _LowRank(torch.autograd.Function):
    """y = W x + b + s B A x', x' being x or, in training with dropout, what is left of it.

    x [..., I], W [O, I], A [R, I], B [O, R]. W and b are frozen; a W of 4 bits exists whole for
    the length of one multiplication.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        dropped: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        scale: float,
    ) -> Tensor:
        left = x if dropped is None else dropped
        inner = F.linear(left, down.to(x.dtype))
        ctx.state = state_of(weight)
        out = F.linear(x, dequantised(weight, ctx.state), bias)
        _add_product(out, inner, up.T.to(x.dtype), scale)
        ctx.save_for_backward(left, inner, weight, down, up)
        ctx.scale, ctx.drops = scale, dropped is not None
        return out

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        left, inner, weight, down, up = ctx.saved_tensors
        flat = outer.reshape(-1, outer.shape[-1])
        through = ctx.scale * (flat @ up.to(flat.dtype))
        to_up = ctx.scale * (flat.T @ inner.reshape(-1, inner.shape[-1])).to(up.dtype)
        to_down = (through.T @ left.reshape(-1, left.shape[-1])).to(down.dtype)
        to_x = to_dropped = None
        if ctx.needs_input_grad[0]:
            to_x = (flat @ dequantised(weight, ctx.state)).view(left.shape)
            if not ctx.drops:
                _add_product(to_x, through, down.to(flat.dtype), 1.0)
        if ctx.needs_input_grad[1]:
            to_dropped = (through @ down.to(flat.dtype)).view(left.shape)
        return to_x, to_dropped, None, None, to_down, to_up, None


def _add_product(total: Tensor, left: Tensor, right: Tensor, scale: float) -> None:
    """total += scale * left @ right, without a matrix of total's size."""
    rows = left.reshape(-1, left.shape[-1])
    total.view(-1, total.shape[-1]).addmm_(rows, right, alpha=scale)
