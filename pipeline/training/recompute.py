"""Work that is done again in the backward pass, so that nothing of it is kept (arXiv 2101.06983).

torch's own checkpoints keep no tensors, but the graph of every operation: about a megabyte a pass.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint, get_device_states, set_device_states


def replayed(work: Callable[[], Tensor], weights: Sequence[Tensor]) -> Tensor:
    """What work gives, whose gradient goes to weights alone; what is random in it, the same again.

    Weights that are kept in parts pass gradients by hooks of their own, which only torch's
    checkpoint minds, as it does devices whose random numbers cannot be set from here.
    """
    parts = any(isinstance(weight, DTensor) for weight in weights)
    if parts or weights[0].device.type not in ("cpu", "cuda"):
        return checkpoint(work, use_reentrant=False)  # type: ignore[no-any-return]
    made: Tensor = _Replayed.apply(work, *weights)  # type: ignore[no-untyped-call]
    return made


class _Replayed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, work: Callable[[], Tensor], *weights: Tensor) -> Tensor:
        ctx.work = work
        ctx.random = torch.get_rng_state(), get_device_states(*weights[:1])
        ctx.save_for_backward(*weights)
        return work()

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        on_host, on_cards = ctx.random
        with torch.random.fork_rng(on_cards[0], device_type="cuda"), torch.enable_grad():
            torch.set_rng_state(on_host)
            set_device_states(*on_cards, device_type="cuda")
            made = ctx.work()
        return None, *torch.autograd.grad(made, ctx.saved_tensors, outer, allow_unused=True)
