"""Torch's float32 matrix products on a CPU, by OpenBLAS: the same bits on Intel and AMD, at speed.

Torch multiplies with MKL, which adds up in another order on each vendor's processors unless it is
held to instructions of 2001 (MKL_CBWR=COMPATIBLE), and then takes twice as long. OpenBLAS, which
NumPy brings, takes its kernel from OPENBLAS_CORETYPE and adds up in that kernel's order on every
processor. It works on one thread; rows are shared among threads here, as no row depends on another.
The number of threads decides the last bits: at the ends of its rows a part is added up otherwise.
"""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Products of fewer multiplications are done sooner than a second thread is awake.
SHARED_FROM = 2_000_000

_registered: list[torch.library.Library] = []  # a registration ends with its object
_threads = 1
_others: ThreadPoolExecutor | None = None


def use_openblas(threads: int) -> None:
    """From now on, torch.mm of float32 on the CPU is OpenBLAS', on so many threads.

    Nothing is done with the machine's own kernels (LEGIBLE_KERNELS=native), or where torch has
    no MKL.
    """
    global _threads, _others
    if os.environ.get("LEGIBLE_KERNELS") == "native" or not torch.backends.mkl.is_available():
        return
    if threads != _threads or _others is None:
        _threads, _others = threads, ThreadPoolExecutor(max(1, threads - 1))
    if not _registered:
        library = torch.library.Library("aten", "IMPL")
        with warnings.catch_warnings(action="ignore"):  # it says that there was another one
            library.impl("mm", multiply, "CPU")
        _registered.append(library)


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """left [m, k] @ right [k, n]."""
    product = torch.empty((left.shape[0], right.shape[1]), dtype=left.dtype)
    if left.dtype != torch.float32 or right.dtype != torch.float32:
        return torch.mm(left, right, out=product)  # another operator: MKL's
    multiply_arrays(_readable(left), _readable(right), product.numpy())
    return product


def multiply_arrays(
    left: NDArray[np.float32], right: NDArray[np.float32], product: NDArray[np.float32]
) -> None:
    """Write left [m, k] @ right [k, n] into product [m, n], each thread some of its rows."""
    parts = min(_threads, len(left)) if len(left) * right.size >= SHARED_FROM else 1
    if _others is None or parts == 1:
        _write(left, right, product)
        return
    own, *rest = zip(np.array_split(left, parts), np.array_split(product, parts), strict=True)
    waiting = [_others.submit(_write, rows, right, into) for rows, into in rest]
    _write(own[0], right, own[1])
    for other in waiting:
        other.result()


@np.errstate(all="ignore")  # torch says nothing of what is no finite number
def _write(
    left: NDArray[np.float32], right: NDArray[np.float32], product: NDArray[np.float32]
) -> None:
    np.matmul(left, right, out=product)


def _readable(matrix: Tensor) -> NDArray[np.float32]:
    """Without a copy where BLAS can read the strides; NumPy would go without BLAS elsewhere."""
    along, across = matrix.stride()
    rows, columns = matrix.shape
    as_it_is = (across == 1 and along >= columns) or (along == 1 and across >= rows)
    array: NDArray[np.float32] = (matrix if as_it_is else matrix.contiguous()).detach().numpy()
    return array
