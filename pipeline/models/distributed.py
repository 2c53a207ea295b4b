"""Several processes that make one training step together, each on its share of the texts.

Under `torchrun` every process is a rank; alone, a process is the only one, and all of this is the
identity. Each rank computes the terms of the whole step's objective that its texts have a part in,
so that the mean of the ranks' gradients is the gradient of the step.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
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

_T = TypeVar("_T")


def launched(module: str, argument: str, processes: int) -> bool:
    """Run this stage as several ranks and wait for them; False in a rank, and where one will do.

    Exits with the ranks' code where one of them fails.
    """
    if processes == 1 or "RANK" in os.environ:
        return False
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), "-m", module, argument]
    done = subprocess.run(command, check=False, preexec_fn=_die_with_parent)
    if done.returncode:
        sys.exit(done.returncode)
    return True


def _die_with_parent() -> None:
    """Have Linux end this process where its parent is killed: no rank outlives its run."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def join(device: torch.device) -> torch.device:
    """Join the other ranks where torchrun started several; gives the device of this one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
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
