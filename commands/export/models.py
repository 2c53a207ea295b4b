"""A variant's adapter, or the whole model with it, in a folder that its own library loads."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from commands.export.cards import CARD, adapter_card
from commands.export.run_files import needed, read_run
from pipeline.core.console import InputError
from pipeline.core.files import read_json, whole
from pipeline.core.paths import ADAPTERS, BASE_CARD, BASE_MODEL
from pipeline.models.loading import load_base
from pipeline.models.peft_import import PeftModel

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def export_adapter(variant: str, folder: Path) -> None:
    """Write the adapter as PEFT loads it, and its card. Of a base model of the Hub, the adapter
    names repository and revision, so that PEFT finds it by itself."""
    run = read_run(variant)
    needed(*(ADAPTERS / variant / name for name in ADAPTER_FILES))
    with whole(folder) as draft:
        draft.mkdir()
        for name in ADAPTER_FILES:
            shutil.copyfile(ADAPTERS / variant / name, draft / name)
        if run.base["source"] == "hub":
            config = read_json(draft / ADAPTER_FILES[0])
            config |= {
                "base_model_name_or_path": run.base["origin"],
                "revision": run.base["revision"],
            }
            text = json.dumps(config, indent=2, sort_keys=True) + "\n"
            (draft / ADAPTER_FILES[0]).write_text(text, encoding="utf-8")
        (draft / CARD).write_text(adapter_card(run, merged=False), encoding="utf-8")


def export_merged(variant: str, folder: Path) -> None:
    """Write the base model with the variant's adapter merged into it, its tokenizer and its card,
    as transformers loads them.

    Weights are float32, whatever the base model's: narrower ones would round most of a small change
    away. Raises InputError for weights of 4 bits, into which nothing can be merged.
    """
    run = read_run(variant)
    needed(ADAPTERS / variant / ADAPTER_FILES[0])
    if read_json(BASE_CARD)["dtype"] == "nf4":
        raise InputError(
            "the base model's weights are of 4 bits (model.dtype: nf4), into which no adapter can "
            "be merged; take the adapter home instead: legible-export adapter"
        )
    model, tokenizer = load_base(BASE_MODEL, torch.device("cpu"))
    merged = merge(model, ADAPTERS / variant)
    with whole(folder) as draft:
        merged.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        (draft / CARD).write_text(adapter_card(run, merged=True), encoding="utf-8")


def merge(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    """The model in float32 with a stored adapter in its weights."""
    adapted: Any = PeftModel.from_pretrained(model.float(), adapter, local_files_only=True)
    merged = adapted.merge_and_unload().eval()
    assert isinstance(merged, PreTrainedModel)
    return merged
