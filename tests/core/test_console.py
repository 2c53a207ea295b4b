"""What a stage says when it cannot go on."""

import subprocess
import sys

import pytest

from pipeline.core.console import is_out_of_memory
from tests.support.dag import ROOT


class OutOfMemoryError(RuntimeError):
    """As torch has it for cards."""


CPU = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"


@pytest.mark.parametrize(
    ("error", "ran_out"),
    [
        (OutOfMemoryError("tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError(CPU), True),
        (MemoryError(), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_want_of_memory_is_distinguished_from_other_errors(error: Exception, ran_out: bool) -> None:
    assert is_out_of_memory(error) == ran_out


def run_stage(body: str) -> subprocess.CompletedProcess[str]:
    code = f"from pipeline.core.console import InputError, run\ndef main():\n    {body}\nrun(main)"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_want_of_memory_is_one_line_with_the_remedy() -> None:
    done = run_stage("import torch; torch.empty(2**50)")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: there is not enough memory; in params.yaml set")
    for knob in ("runtime.checkpointing", "runtime.pairs_per_pass", "tokens_per_batch"):
        assert knob in line


def test_a_mistake_is_one_line() -> None:
    done = run_stage("raise InputError('a, b\\nor c')")
    assert (done.returncode, done.stderr) == (2, "error: a, b or c\n")


def test_a_defect_keeps_its_traceback() -> None:
    done = run_stage("raise RuntimeError('shape mismatch')")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
