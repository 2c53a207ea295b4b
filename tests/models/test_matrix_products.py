"""Torch's products are OpenBLAS', whatever the strides and the threads; all else stays torch's."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipeline.models import matrix_products
from pipeline.models.matrix_products import SHARED_FROM, multiply, multiply_arrays, use_openblas
from tests.conftest import THREADS

SIZES = st.integers(0, 40)
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "rows": lambda m: m.contiguous(),
    "columns": lambda m: m.T.contiguous().T,
    "within a wider one": lambda m: torch.cat([m, m], 1)[:, : m.shape[1]],
    "every second row": lambda m: m.repeat_interleave(2, 0)[::2],
    "every second column": lambda m: m.repeat_interleave(2, 1)[:, ::2],
    "one row, seen many times": lambda m: m[:1].expand_as(m) if len(m) else m,
}


@given(SIZES, SIZES, SIZES, st.sampled_from(sorted(LAYOUTS)), st.sampled_from(sorted(LAYOUTS)))
def test_a_product_is_the_one_in_double_precision(
    m: int, k: int, n: int, one: str, other: str
) -> None:
    draw = torch.Generator().manual_seed(m + 41 * k + 1681 * n)
    left = LAYOUTS[one](torch.randn(m, k, generator=draw))
    right = LAYOUTS[other](torch.randn(k, n, generator=draw))
    torch.testing.assert_close(
        left @ right, (left.double() @ right.double()).float(), atol=1e-5, rtol=1e-5
    )


def test_torch_multiplies_by_it() -> None:
    left, right = torch.randn(70, 300), torch.randn(300, 50)
    expected = np.empty((70, 50), np.float32)
    multiply_arrays(left.numpy(), right.numpy(), expected)
    for found in (left @ right, torch.nn.functional.linear(left[None], right.T)[0]):
        assert np.array_equal(found.numpy(), expected)


def test_rows_are_shared_among_threads() -> None:
    left, right = torch.randn(501, 128), torch.randn(128, 352)
    assert left.numel() * right.shape[1] >= SHARED_FROM
    for threads in (1, 2, 3):
        use_openblas(threads)
        parts = [part @ right.numpy() for part in np.array_split(left.numpy(), threads)]
        assert np.array_equal(multiply(left, right).numpy(), np.concatenate(parts))
    use_openblas(THREADS)


def test_gradients_are_the_products_of_the_rule() -> None:
    left = torch.randn(6, 5, requires_grad=True)
    right = torch.randn(5, 4, requires_grad=True)
    (left @ right).sum().backward()  # an expanded gradient
    assert left.grad is not None
    assert right.grad is not None
    torch.testing.assert_close(left.grad, torch.ones(6, 4) @ right.detach().T)
    torch.testing.assert_close(right.grad, left.detach().T @ torch.ones(6, 4))


def test_what_is_no_finite_number_is_passed_on_in_silence() -> None:
    left = torch.tensor([[torch.nan, 1.0], [torch.inf, 1.0], [3e38, 3e38]])
    found = left @ torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert found.isnan()[0].all()
    assert found[1].tolist()[0] == torch.inf
    assert found[2].tolist()[0] == torch.inf


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64])
def test_other_numbers_are_multiplied_as_before(dtype: torch.dtype) -> None:
    left, right = torch.arange(6).reshape(2, 3).to(dtype), torch.arange(6).reshape(3, 2).to(dtype)
    assert (left @ right).tolist() == [[10, 13], [28, 40]]


def test_numbers_of_two_kinds_are_refused_as_before() -> None:
    with pytest.raises(RuntimeError, match="dtype"):
        torch.ones(2, 2) @ torch.ones(2, 2).double()


def test_the_machines_own_kernels_stay_with_native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGIBLE_KERNELS", "native")
    monkeypatch.setattr(matrix_products, "_registered", registered := [])
    use_openblas(2)
    assert not registered


def test_nothing_is_printed_when_it_is_installed() -> None:
    code = "from pipeline.models.matrix_products import use_openblas; import torch; " \
           "use_openblas(2); print(float((torch.ones(3, 3) @ torch.ones(3, 3)).sum()))"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("27.0", "")
