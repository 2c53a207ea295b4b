"""What is taken home loads without this project, and is the model that was measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from commands.export.models import export_adapter, export_merged
from pipeline.core.console import InputError
from pipeline.core.files import read_json, write_json
from pipeline.core.params import Params
from pipeline.core.paths import ADAPTERS, BASE_CARD, BASE_MODEL
from pipeline.models.loading import load_variant
from tests.commands.export.conftest import VARIANT

# A program of someone who has the folders and the published libraries, and nothing else.
STRANGER = """
import sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base, adapter, merged = sys.argv[1:]
ids = torch.tensor([[5, 9, 30, 31, 7]])
with torch.no_grad():
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    logits = {
        "adapter": tuned.eval()(ids).logits,
        "merged": AutoModelForCausalLM.from_pretrained(merged)(ids).logits,
        "base": AutoModelForCausalLM.from_pretrained(base)(ids).logits,
    }
assert AutoTokenizer.from_pretrained(merged)("Explain rain.").input_ids
assert not [name for name in sys.modules if name.startswith("pipeline")]
torch.save(logits, "logits.pt")
"""


def test_plain_libraries_load_the_model_that_was_measured(finished: Params, tmp_path: Path) -> None:
    export_adapter(VARIANT, tmp_path / "adapter")
    export_merged(VARIANT, tmp_path / "merged")
    subprocess.run(
        [sys.executable, "-c", STRANGER, str(BASE_MODEL.resolve()), "adapter", "merged"],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    logits = torch.load(tmp_path / "logits.pt", weights_only=True)
    measured, _ = load_variant(BASE_MODEL, ADAPTERS / VARIANT, torch.device("cpu"))
    with torch.no_grad():
        expected = measured(torch.tensor([[5, 9, 30, 31, 7]])).logits
    for name in ("adapter", "merged"):
        torch.testing.assert_close(logits[name], expected)
    assert (logits["base"] - expected).abs().max() > 0.1, "the adapter does something"


@pytest.mark.parametrize("export", [export_adapter, export_merged])
def test_twice_is_the_same_bytes_and_names_no_machine(
    export: object, finished: Params, tmp_path: Path
) -> None:
    assert callable(export)
    files = []
    for name in ("one", "two"):
        export(VARIANT, tmp_path / name)
        files.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert files[0] == files[1]
    assert "README.md" in files[0]
    assert not [name for name, body in files[0].items() if str(tmp_path).encode() in body]


@pytest.mark.usefixtures("from_hub")
def test_an_adapter_names_its_base_model_of_the_hub(tmp_path: Path) -> None:
    export_adapter(VARIANT, tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter/adapter_config.json").read_text(encoding="utf-8"))
    assert (config["base_model_name_or_path"], config["revision"]) == ("acme/tiny", "a" * 40)
    weights = "adapter_model.safetensors"
    stored = ADAPTERS / VARIANT / weights
    assert (tmp_path / "adapter" / weights).read_bytes() == stored.read_bytes()


def test_nothing_is_merged_into_weights_of_4_bits(finished: Params, tmp_path: Path) -> None:
    write_json(BASE_CARD, read_json(BASE_CARD) | {"dtype": "nf4"})
    with pytest.raises(InputError, match="4 bits"):
        export_merged(VARIANT, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize(
    ("variant", "gone", "message"),
    [
        ("nobody", None, "no variant 'nobody'"),
        (VARIANT, "models/base.json", r"models/base\.json is missing; a finished run has it"),
        (VARIANT, f"metrics/selfie/{VARIANT}.json", "is missing"),
        (VARIANT, f"models/adapters/{VARIANT}/adapter_config.json", "is missing"),
    ],
)
def test_what_is_not_there_is_one_line(
    finished: Params, tmp_path: Path, variant: str, gone: str | None, message: str
) -> None:
    if gone:
        Path(gone).unlink()
    with pytest.raises(InputError, match=message):
        export_adapter(variant, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()
