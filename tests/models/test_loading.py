"""The base model of a folder: its card, its own files alone, and whatever it must refuse."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.console import InputError
from pipeline.core.files import read_json
from pipeline.core.params import Params
from pipeline.models.encoding import Encoder, ends_of
from pipeline.models.external_base import adopt
from pipeline.models.fused_lora import fuse
from pipeline.models.loading import card_of, load_base, load_merged, load_variant
from pipeline.models.lora import save_adapter, with_lora
from tests.support.tiny import move

CPU = torch.device("cpu")


def test_a_folder_becomes_the_base_model(
    tmp_path: Path, wanted: Params, model: PreTrainedModel
) -> None:
    card = adopt(tmp_path / "base", wanted)
    assert (card.source, card.layers, card.width) == ("path", 2, 16)
    assert card.frame == ("[user] ", "<|end|>\n[assistant] ", "<|end|>\n")
    assert set(card.files) >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert read_json(tmp_path / "base.json")["files"] == card.files
    assert not list((tmp_path / "base").glob("*.safetensors")), "weights stay where they are"
    loaded, tokenizer = load_base(tmp_path / "base", CPU)
    for (name, weight), (same, other) in zip(
        loaded.named_parameters(), model.named_parameters(), strict=True
    ):
        assert name == same
        assert torch.equal(weight, other)
    encoder = Encoder(tokenizer, wanted.text)
    said = encoder("Explain rain.", "It falls.")
    assert encoder.decode(said.ids) == "[user] Explain rain.<|end|>\n[assistant] It falls.<|end|>"
    assert encoder.decode([said.ids[said.last]]) == "<|end|>"


def test_adopted_twice_is_the_same_bytes(tmp_path: Path, wanted: Params) -> None:
    """What the stage writes says nothing of the folder that it was read from."""
    for name in ("one", "two"):
        adopt(tmp_path / name, wanted)
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("one", "two")
    )
    assert one == two
    assert "tokenizer.json" in one
    assert card_of(tmp_path / "one").read_bytes() == card_of(tmp_path / "two").read_bytes()


def test_weights_may_be_half_as_wide(tmp_path: Path, wanted: Params) -> None:
    half = wanted.model.model_copy(update={"dtype": "bfloat16"})
    adopt(tmp_path / "base", wanted.model_copy(update={"model": half}))
    loaded, _ = load_base(tmp_path / "base", CPU)
    assert {weight.dtype for weight in loaded.parameters()} == {torch.bfloat16}


def test_how_its_publisher_samples_does_not_leak_in(
    tmp_path: Path, wanted: Params, mine: Path
) -> None:
    settings = {"top_p": 0.5, "repetition_penalty": 1.3, "eos_token_id": [3, 7], "do_sample": True}
    (mine / "generation_config.json").write_text(json.dumps(settings), encoding="utf-8")
    adopt(tmp_path / "base", wanted)
    loaded, tokenizer = load_base(tmp_path / "base", CPU)
    kept = loaded.generation_config
    assert (kept.top_p, kept.repetition_penalty) == (None, None)
    assert ends_of(loaded, tokenizer, Encoder(tokenizer, wanted.text).end) == [3, 7]


def test_a_narrow_models_adapter_is_not_rounded_away(
    tmp_path: Path, wanted: Params, mine: Path
) -> None:
    half = wanted.model.model_copy(update={"dtype": "bfloat16"})
    adopt(tmp_path / "base", wanted.model_copy(update={"model": half}))
    base, _ = load_base(tmp_path / "base", CPU)
    adapted = move(with_lora(base, wanted.finetune))
    save_adapter(tmp_path / "adapter", adapted)
    fuse(adapted)  # as a finetune reads it
    loaded, _ = load_variant(tmp_path / "base", tmp_path / "adapter", CPU)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, adapted.eval()(ids).logits)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_merged_model_is_the_variant_in_float32_and_takes_another_adapter(
    tmp_path: Path, wanted: Params, mine: Path, dtype: str
) -> None:
    adopt(
        tmp_path / "base",
        wanted.model_copy(update={"model": wanted.model.model_copy(update={"dtype": dtype})}),
    )
    base, _ = load_base(tmp_path / "base", CPU)
    save_adapter(tmp_path / "adapter", move(with_lora(base, wanted.finetune)))
    merged, _ = load_merged(tmp_path / "base", tmp_path / "adapter", CPU)
    assert {weight.dtype for weight in merged.parameters()} == {torch.float32}
    variant, _ = load_variant(tmp_path / "base", tmp_path / "adapter", CPU)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        logits, expected = merged(ids).logits, variant(ids).logits
        assert torch.allclose(logits, expected.float(), atol=0 if dtype == "float32" else 0.05)
        another = move(with_lora(merged, wanted.finetune))
        assert not torch.equal(another(ids).logits, logits)
        assert torch.equal(another.unload()(ids).logits, logits)


def test_only_the_cards_files_are_read(tmp_path: Path, wanted: Params, mine: Path) -> None:
    """An adapter beside the weights would make the library load another model."""
    adopt(tmp_path / "base", wanted)
    config = {"peft_type": "LORA", "base_model_name_or_path": "elsewhere/model"}
    (mine / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    (mine / "modeling_mine.py").write_text("raise SystemExit", encoding="utf-8")
    loaded, _ = load_base(tmp_path / "base", CPU)
    assert not hasattr(loaded, "peft_config")


def grow(folder: Path) -> None:
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"0")


def turn(folder: Path) -> None:
    """One byte of another model of the same size."""
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)


@pytest.mark.parametrize(
    "change", [grow, turn, lambda f: (f / "model.safetensors").unlink(), shutil.rmtree]
)
def test_files_that_changed_are_noticed(
    tmp_path: Path, wanted: Params, mine: Path, change: object
) -> None:
    adopt(tmp_path / "base", wanted)
    change(mine)  # type: ignore[operator]
    with pytest.raises(InputError, match="dvc repro --force base_model"):
        load_base(tmp_path / "base", CPU)
