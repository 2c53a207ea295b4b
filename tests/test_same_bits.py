"""What the environment asks for decides no bit of a result."""

import os
import subprocess
import sys

import pytest

from pipeline.core.imports import ROOT

WORK = """
import stages
import hashlib, numpy as np, torch
from numpy._core._multiarray_umath import __cpu_features__ as features
from pipeline.models.building import new_model, train_tokenizer
from tests.support.tiny import tiny_params
params = tiny_params().model.embedded
tokenizer = train_tokenizer(["one two three four five"] * 50, params.vocabulary)
torch.manual_seed(0)
model = new_model(params, tokenizer)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
ids = torch.arange(96).reshape(4, 24) % params.vocabulary
for _ in range(5):
    loss = model(ids, labels=ids).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
digest = hashlib.sha256()
for weight in model.parameters():
    digest.update(weight.detach().numpy().tobytes())
vectors = np.random.default_rng(0).normal(size=(200, 64))
digest.update((np.exp(vectors @ vectors.T / 8).sum(0)).tobytes())
print(torch.backends.cpu.get_cpu_capability(), features["X86_V4"], digest.hexdigest())
"""
# What a user's shell may hold: other widths, other paths of the libraries.
SHELLS: dict[str, dict[str, str]] = {
    "nothing": {},
    "no vectors": {"ATEN_CPU_CAPABILITY": "default", "OPENBLAS_CORETYPE": "Nehalem"},
    "widest": {"ATEN_CPU_CAPABILITY": "avx512", "NPY_DISABLE_CPU_FEATURES": ""},
    "threads": {"OPENBLAS_NUM_THREADS": "2", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
}
CHOICES = {name for shell in SHELLS.values() for name in shell}


def result_under(shell: dict[str, str]) -> str:
    """The width that torch uses, whether NumPy's AVX-512 is on, and the digest of some work."""
    environment = {name: value for name, value in os.environ.items() if name not in CHOICES}
    done = subprocess.run(
        [sys.executable, "-c", WORK],
        cwd=ROOT, env={**environment, **shell}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.fixture(scope="module")
def expected() -> str:
    return result_under({})


@pytest.mark.parametrize("name", [name for name in SHELLS if name != "nothing"])
def test_no_choice_of_the_shell_changes_a_bit(name: str, expected: str) -> None:
    assert result_under(SHELLS[name]) == expected


def test_kernels_are_held_to_avx2(expected: str) -> None:
    width, numpy_is_wide, _ = expected.split()
    if width == "DEFAULT":
        pytest.skip("this processor has no AVX2")
    assert (width, numpy_is_wide) == ("AVX2", "False")
