"""The same inputs give the same bits on every x86-64 processor with AVX2, whatever the environment
asks for; elsewhere nearly the same numbers."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from pipeline import PINNED
from pipeline.core.imports import ROOT

COMMITTED = json.loads((ROOT / "tests/support/bits.json").read_text(encoding="utf-8"))
ONE_CORE = "import os, runpy; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
WORK = "runpy.run_module('tests.support.bits', run_name='__main__')"
# What a user's shell may hold: other widths, other paths of the libraries, another locale.
SHELLS: dict[str, dict[str, str]] = {
    "no vectors": {
        "ATEN_CPU_CAPABILITY": "default", "OPENBLAS_CORETYPE": "Nehalem", "MKL_CBWR": "AVX2",
    },
    "the widest vectors": {
        "ATEN_CPU_CAPABILITY": "avx512", "NPY_DISABLE_CPU_FEATURES": "", "MKL_CBWR": "AUTO",
    },
    "other threads": {
        "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "2",
    },
    "another language": {"LC_ALL": "C", "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "7"},
}  # fmt: skip
NEARLY = 0.05  # relative; the first steps amplify a difference of the last bit no further


def work_under(shell: dict[str, str], start: str = "import runpy; ") -> dict[str, Any]:
    """The machine and parts that a new process finds in an environment."""
    environment = {name: value for name, value in os.environ.items() if name not in PINNED}
    done = subprocess.run(
        [sys.executable, "-c", start + WORK],
        cwd=ROOT, env={**environment, **shell}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    machine, *parts = map(json.loads, done.stdout.splitlines())
    return {"machine": machine, "parts": {part.pop("part"): part for part in parts}}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return work_under({})


def test_this_processor_gives_the_committed_bits(found: dict[str, Any]) -> None:
    machine, made_on = found["machine"], COMMITTED["machine"]
    same = ("architecture", "kernels", "libraries")
    if all(machine[key] == made_on[key] for key in same):
        assert found["parts"] == COMMITTED["parts"], machine["processor"]
        return
    numbers = {name: part["number"] for name, part in found["parts"].items() if name != "map"}
    committed = {name: COMMITTED["parts"][name]["number"] for name in numbers}
    assert numbers == pytest.approx(committed, rel=NEARLY), machine["processor"]
    other = [f"{key} {machine[key]}" for key in same if machine[key] != made_on[key]]
    pytest.skip(f"numbers within {NEARLY:.0%}; no equal bits can be expected of {', '.join(other)}")


@pytest.mark.parametrize("name", SHELLS)
def test_no_choice_of_the_shell_changes_a_bit(name: str, found: dict[str, Any]) -> None:
    assert work_under(SHELLS[name]) == found


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_one_core_gives_the_bits_of_two(found: dict[str, Any]) -> None:
    assert work_under({}, ONE_CORE) == found


def test_unpinned_kernels_are_there_for_who_asks(found: dict[str, Any]) -> None:
    """The control: pins do decide bits where the machine could do more."""
    wide = work_under({"LEGIBLE_KERNELS": "native"})
    if wide["machine"]["kernels"] == found["machine"]["kernels"] == "AVX2":
        pytest.skip("this processor's own kernels are those of AVX2")
    assert wide["parts"]["pretraining"]["digest"] != found["parts"]["pretraining"]["digest"]
