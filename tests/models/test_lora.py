"""Adapters lie below the target layer alone, on every linear map there, and are stored whole."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.core.sections import Finetune
from pipeline.models.building import new_model
from pipeline.models.encoding import Encoder
from pipeline.models.hooks import decoder_blocks
from pipeline.models.loading import load_base, load_variant, save_trained
from pipeline.models.lora import left_out, save_adapter, with_lora
from tests.support.dag import ROOT
from tests.support.tiny import move
from tests.support.tiny_configs import tiny_config

CPU = torch.device("cpu")
EXPERTS = ["mlp.experts.down_proj", "mlp.experts.gate_up_proj"]


def tiny(kind: str, **more: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(tiny_config(kind, **more)).eval()


@pytest.fixture
def below_two(params: Params) -> Finetune:
    return params.finetune.model_copy(update={"target_layers": (2,)})


def adapted_maps(model: Any) -> set[str]:
    """The names of modules that have an adapter."""
    return {name for name, module in model.named_modules() if hasattr(module, "lora_A")}


# Mixtures of experts whose first blocks are dense have other maps below the target than above it.
DENSE_FIRST = {
    "deepseek_v2": {}, "deepseek_v3": {}, "glm4_moe": {}, "ernie4_5_moe": {}, "dots1": {},
    "qwen3_moe": {"mlp_only_layers": [0, 1]}, "qwen2_moe": {"mlp_only_layers": [0]},
    "hunyuan_v1_moe": {}, "llama": {}, "gpt2": {}, "opt": {},
}  # fmt: skip


@pytest.mark.parametrize(("kind", "more"), DENSE_FIRST.items(), ids=DENSE_FIRST)
def test_faults_every_linear_map_below_the_target_has_an_adapter_and_none_above(
    kind: str, more: dict[str, Any], below_two: Finetune
) -> None:
    adapted = with_lora(tiny(kind, **more), below_two)
    below, above = (
        {f"{number}.{name}" for number, block in enumerate(decoder_blocks(adapted))
         for name in adapted_maps(block) if (number < 2) == below}
        for below in (True, False)
    )  # fmt: skip
    plain = {
        f"{number}.{name}" for number, block in enumerate(decoder_blocks(tiny(kind, **more))[:2])
        for name, module in block.named_modules()
        if type(module).__name__ in ("Linear", "Conv1D") and "gate." not in f"{name}."
        and not name.endswith("_gate")
    }  # fmt: skip
    assert below == plain
    assert not above
    assert len(adapted_maps(adapted)) == len(below), "nor beside the blocks"


MIXED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "llama": ({}, []),
    "deepseek_v3": ({}, [*EXPERTS, "mlp.gate.weight"]),
    "deepseek_v3, dense below": ({"first_k_dense_replace": 2}, []),
    "qwen2_moe": ({}, [*EXPERTS, "mlp.gate.weight", "mlp.shared_expert_gate.weight"]),
    "phimoe": ({}, [*EXPERTS, "mlp.router.weight"]),
    "llama4_text": (
        {}, [f"feed_forward.{n}" for n in ("experts.down_proj", "experts.gate_up_proj",
                                           "router.weight")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "case"), MIXED.items(), ids=MIXED)
def test_faults_what_gets_no_adapter_is_named_with_its_share(
    name: str, case: tuple[dict[str, Any], list[str]], below_two: Finetune
) -> None:
    """Fused experts and routers; a router's choice is left as it is."""
    more, expected = case
    model = tiny(name.partition(",")[0], **more)
    frozen, share = left_out(model, 2)
    assert frozen == expected
    weights = [w for b in decoder_blocks(model)[:2] for w in b.named_parameters() if w[1].ndim > 1]
    uncovered = sum(w.numel() for name, w in weights if name in expected)
    assert share == pytest.approx(uncovered / sum(w.numel() for _, w in weights))
    adapted = with_lora(model, below_two)
    assert left_out(adapted, 2)[0] == expected, "the same once the others have theirs"


@pytest.mark.parametrize("kind", ["laguna", "dots1", "qwen3_moe", "gpt2"])
@torch.no_grad()
def test_an_adapter_is_loaded_as_it_was_saved(
    kind: str, below_two: Finetune, encoder: Encoder, params: Params, tmp_path: Path
) -> None:
    """PEFT takes some families' names for those of an older library, and drops their weights."""
    model = tiny(kind, vocab_size=len(encoder.tokenizer))
    save_trained(tmp_path / "base", model, encoder.tokenizer, params.model)
    adapted = move(with_lora(model, below_two)).eval()
    save_adapter(tmp_path / "adapter", adapted)
    ids = torch.tensor([[5, 6, 7, 8]])
    expected, untouched = adapted(ids).logits, load_base(tmp_path / "base", CPU)[0](ids).logits
    merged, _ = load_variant(tmp_path / "base", tmp_path / "adapter", CPU)
    torch.testing.assert_close(merged(ids).logits, expected, atol=1e-5, rtol=1e-4)
    assert (untouched - expected).abs().max() > 0.1


def test_a_map_that_a_block_above_uses_too_is_left_alone(
    model: PreTrainedModel, params: Params
) -> None:
    """Else a change below the target would change what is above it."""
    blocks = decoder_blocks(model)
    blocks[1].mlp = blocks[0].mlp
    adapted = with_lora(model, params.finetune)
    assert {name.partition(".")[0] for name in adapted_maps(decoder_blocks(adapted)[0])} == {
        "self_attn"
    }
    assert left_out(adapted, 1)[0] == ["mlp.down_proj.weight", "mlp.gate_proj.weight",
                                       "mlp.up_proj.weight"]  # fmt: skip


def test_blocks_without_a_linear_map_are_refused(params: Params, encoder: Encoder) -> None:
    bare = new_model(params.model.embedded, encoder.tokenizer)
    for block in decoder_blocks(bare):
        block.mlp = block.self_attn = nn.Identity()
    with pytest.raises(InputError, match="no linear map below layer 1"):
        with_lora(bare, params.finetune)


def test_a_fresh_adapter_changes_nothing(
    model: PreTrainedModel, encoder: Encoder, params: Params, tmp_path: Path
) -> None:
    """LoRA's second factor starts at 0: a variant of 0 steps is the untouched model."""
    save_trained(tmp_path / "base", model, encoder.tokenizer, params.model)
    save_adapter(tmp_path / "adapter", with_lora(model, params.finetune))
    variant, _ = load_variant(tmp_path / "base", tmp_path / "adapter", CPU)
    untouched, _ = load_base(tmp_path / "base", CPU)
    for (name, weight), (other, same) in zip(
        variant.named_parameters(), untouched.named_parameters(), strict=True
    ):
        assert name == other
        assert torch.equal(weight, same)


SAVED_TWICE = """
import hashlib, sys, torch
from pathlib import Path
from pipeline.models.loading import load_base
from pipeline.models.lora import save_adapter, with_lora
from tests.support.tiny import tiny_params
model, _ = load_base(Path(sys.argv[1]), torch.device("cpu"))
torch.manual_seed(0)
save_adapter(Path(sys.argv[2]), with_lora(model, tiny_params().finetune))
"""


def test_an_adapter_is_the_same_bytes_in_every_process(
    model: PreTrainedModel, encoder: Encoder, params: Params, tmp_path: Path
) -> None:
    """PEFT writes a set; Python's hash seed orders it."""
    save_trained(tmp_path / "base", model, encoder.tokenizer, params.model)
    digests = []
    for seed in "12":
        folder = tmp_path / seed
        subprocess.run(
            [sys.executable, "-c", SAVED_TWICE, str(tmp_path / "base"), str(folder)],
            env={"PYTHONHASHSEED": seed, "PATH": ""}, cwd=ROOT, check=True,
        )  # fmt: skip
        digests.append(
            {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
        )
    assert digests[0] == digests[1]
    assert digests[0].keys() == {"adapter_config.json", "adapter_model.safetensors"}


def test_no_machine_path_is_stored(
    model: PreTrainedModel, encoder: Encoder, params: Params, tmp_path: Path
) -> None:
    save_trained(tmp_path / "base", model, encoder.tokenizer, params.model)
    loaded, _ = load_base(tmp_path / "base", CPU)
    save_adapter(tmp_path / "adapter", with_lora(loaded, params.finetune))
    for path in [*(tmp_path / "adapter").iterdir(), *(tmp_path / "base").iterdir()]:
        assert str(tmp_path).encode() not in path.read_bytes(), path.name
