"""Several processes that make one training step together, each on its share of the texts.

Every process is a rank (pipeline/models/meeting.py); alone, a process is the only one, and all of
this is the identity. Each rank computes the terms of the whole step's objective that its texts
have a part in, so that the mean of the ranks' gradients is the gradient of the step.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.nn.functional import all_gather
from torch.distributed.tensor import DTensor, distribute_tensor

from pipeline.core.console import InputError
from pipeline.models.hooks import decoder_blocks
from pipeline.models.meeting import meeting_store, rank_here

PATIENCE = timedelta(days=1)  # with ranks at work: the first may have hours of work of its own

_T = TypeVar("_T")
_Key = TypeVar("_Key")


def join(device: torch.device) -> torch.device:
    """Join the other ranks where several were started; gives the device of this one.

    What is no tensor of a card's goes between them over TCP (gloo), whatever the device.
    """
    here = rank_here()
    if here is None:
        return device
    if device.type == "cuda":
        device = torch.device("cuda", here.local)
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        store = dist.PrefixStore("group", meeting_store())  # type: ignore[attr-defined]
        dist.init_process_group(
            backend, timeout=PATIENCE, store=store, rank=here.number, world_size=here.count
        )
    return device


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def count() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    return rank() == 0


def share(items: Sequence[_T], name: str) -> Sequence[_T]:
    """This rank's part of a step's items, in order.

    Raises InputError where the ranks do not divide them: gathering needs equal parts.
    """
    if len(items) % count():
        raise InputError(f"{name} is {len(items)}, which {count()} processes do not divide")
    size = len(items) // count()
    return items[rank() * size : (rank() + 1) * size]


def deal(items: Sequence[_T]) -> list[_T | None]:
    """This rank's items where all take turns: one a round, None where none is left for it."""
    rounds = -(-len(items) // count())
    own = items[rank() :: count()]
    return [*own, *[None] * (rounds - len(own))]


def from_first(value: _T) -> _T:
    """The first rank's value, in every rank."""
    if count() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


def at_first(value: _T) -> list[_T]:
    """All ranks' values, in the ranks' order, in the first one; none in the others."""
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    dist.gather_object(value, values if is_first() else None)
    return values if is_first() else []


def union(found: Mapping[_Key, _T]) -> dict[_Key, _T]:
    """What all ranks found, in every rank."""
    if count() == 1:
        return dict(found)
    parts: list[Any] = [None] * count()
    dist.all_gather_object(parts, dict(found))
    return {key: value for part in parts for key, value in part.items()}


def gather(values: Tensor) -> Tensor:
    """All ranks' values [N, ...], in the ranks' order: [ranks * N, ...], with gradient."""
    if count() == 1:
        return values
    return torch.cat(all_gather(values.contiguous()))


def wait() -> None:
    """Until every rank is here."""
    if dist.is_initialized():
        dist.barrier()


def mean(value: Tensor) -> Tensor:
    """The mean over ranks, without gradient."""
    if count() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / count()


def mean_count(number: int, device: torch.device) -> float:
    """The mean over ranks of how many items each has.

    A sum over a rank's items divided by it is the rank's part of the mean over all items.
    """
    if count() == 1:
        return number
    return float(mean(torch.tensor(float(number), device=device)))


def average_gradients(weights: Iterable[Tensor]) -> None:
    """Replace every gradient by its mean over ranks, all in one exchange."""
    if count() == 1:
        return
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    if any(isinstance(gradient, DTensor) for gradient in gradients):
        return  # sharded ones have been averaged where they were made
    flat = mean(torch.cat([gradient.flatten() for gradient in gradients]))
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def shard(model: Any, device: torch.device) -> None:
    """Keep every block's weights in parts, one a rank (FSDP2), for models that no card holds.

    Embeddings and head stay whole on every rank. A block's weights are put together when it runs.
    """
    mesh = init_device_mesh(device.type, (count(),))
    for block in decoder_blocks(model):
        fully_shard(block, mesh=mesh, reshard_after_forward=True)
    for tensor in [*model.parameters(), *model.buffers()]:
        if not isinstance(tensor, DTensor):
            tensor.data = tensor.data.to(device)


def full_tensor(value: Tensor) -> Tensor:
    """A tensor of which every rank may hold a part, put together. All ranks must ask."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def laid_out_like(value: Tensor, example: Tensor) -> Tensor:
    """A whole tensor as the example is kept: on its device, or this rank's part of it."""
    if isinstance(example, DTensor):
        return distribute_tensor(value, example.device_mesh, example.placements)
    return value.to(example.device)
