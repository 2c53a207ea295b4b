"""Adapters: where they lie, what gets none, and how they are saved."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from pipeline.core.console import InputError
from pipeline.core.files import whole
from pipeline.core.sections import Finetune
from pipeline.models import distributed, nf4
from pipeline.models.hooks import decoder_blocks
from pipeline.models.peft_import import LoraConfig, PeftModel, get_peft_model


def with_lora(model: PreTrainedModel, params: Finetune) -> PeftModel:
    """Low-rank adapters (LoRA, arXiv 2106.09685) on every linear map of the blocks below the top
    target layer, but for the routers of experts. Raises InputError where there is no such map."""
    names = {id(module): name for name, module in model.named_modules()}
    maps = [*_linear_maps(model, params.top_layer)]
    if not maps:
        raise InputError(
            f"{type(model).__name__} has no linear map below layer {params.top_layer} that an "
            "adapter could lie on; choose a model of another family"
        )
    config = LoraConfig(
        r=params.lora_rank,
        lora_alpha=params.lora_alpha,
        lora_dropout=params.lora_dropout,
        target_modules=sorted(names[id(module)] for module in maps),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in maps),
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    assert isinstance(adapted, PeftModel)
    return adapted


def left_out(model: Any, top_layer: int) -> tuple[list[str], float]:
    """The weights of the blocks below a layer that no adapter can lie on, such as experts fused
    into one tensor, by their names within a block; and their share of those blocks' weights.

    Vectors, such as norms and biases, are not counted.
    """
    covered = {id(module.weight) for module in _linear_maps(model, top_layer)}
    sizes: dict[str, int] = {}
    total = 0
    for block in decoder_blocks(model)[:top_layer]:
        for name, weight in block.named_parameters():
            total += weight.numel() if weight.ndim > 1 else 0
            if weight.ndim > 1 and id(weight) not in covered:
                number_free = re.sub(r"\.\d+(?=\.)", "", name)
                sizes[number_free] = sizes.get(number_free, 0) + weight.numel()
    return sorted(sizes), sum(sizes.values()) / max(total, 1)


def _linear_maps(model: Any, top_layer: int) -> Iterator[Any]:
    """The linear maps of the blocks below a layer. Those that a block above uses too are left
    alone, and so are routers, whose choice an adapter would upset, and maps that do not run."""
    blocks = decoder_blocks(model)
    above = {id(module) for block in blocks[top_layer:] for module in block.modules()}
    for block in blocks[:top_layer]:
        left = above | {*_routers(block), *_idle(block)}
        for module in block.modules():
            if _is_linear(module) and id(module) not in left:
                yield module


def _is_linear(module: nn.Module) -> bool:
    """Whether a module is a plain linear map, and no subclass that does more."""
    return type(module) is nn.Linear or isinstance(module, Conv1D) or nf4.is_quantised(module)


def _routers(block: nn.Module) -> Iterator[int]:
    """The ids of the modules that choose between experts or weigh them, or choose the tokens that
    are attended to, and of their parts."""
    for module in block.modules():
        children = dict(module.named_children())
        has_experts = any("expert" in name for name in children)
        for name, child in children.items():
            gates = has_experts and name.split("_")[-1] == "gate"
            if gates or "router" in name or name == "indexer":
                yield from map(id, child.modules())


def _idle(block: nn.Module) -> Iterator[int]:
    """The ids of maps that do not run, so that an adapter on them would do nothing: those whose
    weight a Mamba mixer reads by itself, and attention to an encoder, which is not there."""
    for name, module in block.named_modules():
        if name.endswith("encoder_attn"):
            yield from map(id, module.modules())
        if isinstance(getattr(module, "A_log", None), Tensor) and hasattr(module, "D"):
            yield from (id(getattr(module, part, None)) for part in ("dt_proj", "out_proj"))


def save_adapter(folder: Path, adapted: PeftModel) -> None:
    """Save the adapter alone, the same bytes every time.

    PEFT keeps target_modules as a set, whose order changes between processes, and the base
    model's path on this machine; both are put right. All ranks must call; the first one writes.
    """
    trained = {
        n: distributed.full_tensor(w) for n, w in adapted.named_parameters() if w.requires_grad
    }
    if not distributed.is_first():
        return
    with whole(folder) as draft:
        adapted.save_pretrained(str(draft), state_dict=trained, save_embedding_layers=False)
        (draft / "README.md").unlink()
        config = json.loads((draft / "adapter_config.json").read_text(encoding="utf-8"))
        config["target_modules"] = sorted(config["target_modules"])
        config["base_model_name_or_path"] = "base_model"
        text = json.dumps(config, indent=2, sort_keys=True) + "\n"
        (draft / "adapter_config.json").write_text(text, encoding="utf-8")
