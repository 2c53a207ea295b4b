"""params.yaml shrunk until every stage takes a moment; an adapter that has moved."""

from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML

from pipeline.core.params import Params
from pipeline.models.peft_import import PeftModel
from tests.support.dag import ROOT

VARIANTS = ("base", "sft_contrast")


def tiny_tree() -> Any:
    """The committed params, so that a new knob reaches the tests by itself, made small."""
    tree = YAML().load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    tree["model"]["embedded"] |= {
        "vocabulary": 400, "width": 16, "feed_forward": 32, "layers": 2, "heads": 2,
    }  # fmt: skip
    tree["corpora"]["embedded"] |= {
        "train": 8, "validation": 2, "test": 6, "novel": 6, "shifted": 6, "everyday": 25,
        "described": 10, "documents": 120, "heldout": 10, "behaviour": 4,
    }  # fmt: skip
    tree["pretraining"] |= {"steps": 12, "interpretation_after": 3, "warmup_steps": 2}
    tree["pairs"]["count"] = 60
    tree["finetune"] |= {
        "target_layers": [1], "pairs_per_step": 6, "retain_per_step": 3, "lora_rank": 2,
    }  # fmt: skip
    tree["variants"] = {name: tree["variants"][name] for name in VARIANTS}
    for row in tree["variants"].values():
        row["steps"] = min(row["steps"], 3)
    tree["extraction"]["layers"] = [0, 1, 2]
    tree["reading"] |= {"layer": 1, "resamples": 20, "neighbours": 3}
    tree["transport"] |= {"samples": 3, "draws": 2}
    tree["generation"] |= {"max_new_tokens": 3, "samples": 1}
    tree["capability"]["questions"] = 6
    tree["streams"]["texts"] = 10
    tree["further_training"]["steps"] = 2
    tree["attacks"] |= {"texts": 3, "suffix_tokens": 2, "passes": 8, "swaps": 2}
    tree["asking"]["layer"] = 1
    tree["selfie"] |= {"layers": [0, 2], "texts_per_split": 6, "moved_texts": 4, "moves": [100],
                       "max_new_tokens": 3}  # fmt: skip
    tree["control"] |= {
        "texts": 12, "texts_per_step": 4, "reference_texts": 6, "requests": 8, "probed_texts": 6,
        "steering": {"strengths": [1.0, 4.0], "halvings": 1},
    }  # fmt: skip
    for row in tree["control"]["edits"].values():
        row |= {"layer": 1, "steps": 2}
    tree["figures"] |= {"compared": ["base", "sft_contrast"], "map_texts": 20}
    tree["runtime"]["threads"] = 1
    return tree


def tiny_params() -> Params:
    return Params.model_validate(plain(tiny_tree()))


def move(adapted: PeftModel) -> PeftModel:
    """Give an adapter weights, the same every time: LoRA's second factor starts at 0."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return adapted


def write_params(path: Path, tree: Any) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as out:
        YAML().dump(tree, out)


def plain(tree: Any) -> Any:
    """A round-trip YAML tree as plain dicts and lists."""
    if isinstance(tree, dict):
        return {str(key): plain(value) for key, value in tree.items()}
    return [plain(item) for item in tree] if isinstance(tree, list) else tree
