"""Bitsandbytes is imported for weights of 4 bits alone, and asks no hub for code."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from pipeline.core.imports import ROOT
from pipeline.models.peft_import import hidden


def run(code: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True
    )


def test_an_adapter_is_made_without_bitsandbytes_and_in_silence() -> None:
    code = """
import sys
from pipeline.models.building import new_model, prepare, train_tokenizer
from pipeline.models.lora import with_lora
from tests.support.tiny import tiny_params
params = tiny_params()
prepare(params.runtime)
tokenizer = train_tokenizer(["a b c"] * 50, params.model.embedded.vocabulary)
model = new_model(params.model.embedded, tokenizer)
with_lora(model, params.finetune)
assert "bitsandbytes" not in sys.modules
assert "torch._inductor.compile_fx" not in sys.modules
"""
    done = run(code)
    assert done.stderr == ""


def test_bitsandbytes_asks_no_package_for_code_of_a_hub(tmp_path: Path) -> None:
    """A stand-in for `kernels` is installed; whoever asks it for code ends the process."""
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    stand_in = "def __getattr__(name):\n    raise SystemExit(f'{name} was asked for')\n"
    (tmp_path / "kernels.py").write_text(stand_in, encoding="utf-8")
    code = f"""
import sys
from pipeline.models.peft_import import available, import_bitsandbytes
sys.path[:0] = [{str(tmp_path)!r}]
import kernels
assert not available.is_bnb_available()
import_bitsandbytes()
assert available.is_bnb_available() and available.is_bnb_4bit_available()
assert sys.modules["kernels"] is kernels
"""
    assert run(code).stderr == ""


def test_what_is_hidden_comes_back() -> None:
    with hidden("json"), pytest.raises(ImportError):
        import_module("json")
    assert import_module("json") is json
    with hidden("no_such_library"):
        pass
    with pytest.raises(ModuleNotFoundError):
        import_module("no_such_library")
