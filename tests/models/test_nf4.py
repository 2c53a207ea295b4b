"""4-bit base weights: the model that they stand for, trained through adapters alone."""

import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.core.records import Document, Example
from pipeline.corpora.pairs import draw_pairs
from pipeline.edits.delta import Edit, applied, make_editable, mlp_of, weight_difference
from pipeline.models import loading, nf4
from pipeline.models.building import new_model
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoder
from pipeline.models.fused_lora import fuse, switched_off
from pipeline.models.hooks import decoder_blocks, hidden_states
from pipeline.models.loading import load_base, load_variant, save_trained
from pipeline.models.lora import save_adapter, with_lora
from pipeline.models.packing import pack, read_row
from pipeline.models.reader_check import reader_for
from pipeline.training.finetune_data import FinetuneData
from pipeline.training.finetuning import finetune
from pipeline.training.objective import Objective
from tests.support.tiny import move

CPU = torch.device("cpu")
IDS = torch.arange(3, 40)[None]
SIZE = {"width": 64, "feed_forward": 128, "heads": 4}


@pytest.fixture
def folder(tmp_path: Path, params: Params, encoder: Encoder) -> Path:
    """A model that was trained in float32, to be read in 4 bits."""
    torch.manual_seed(0)
    size = params.model.embedded.model_copy(update=SIZE)
    model = new_model(size, encoder.tokenizer).eval()
    narrow = params.model.model_copy(update={"dtype": "nf4", "embedded": size})
    save_trained(tmp_path / "base", model, encoder.tokenizer, narrow)
    return tmp_path / "base"


@pytest.fixture
def narrow(folder: Path) -> PreTrainedModel:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    return load_base(folder, CPU)[0]


def weights_of(model: Any) -> dict[str, Tensor]:
    """The weights that a model's linear maps stand for, in float32."""
    maps = {n: m for n, m in decoder_blocks(model).named_modules() if isinstance(m, nn.Linear)}
    return {
        name: nf4.dequantised(m.weight, nf4.state_of(m.weight)).float() for name, m in maps.items()
    }


def apart(found: Tensor, expected: Tensor) -> float:
    return float((found.float() - expected.float()).norm() / expected.float().norm())


def test_its_weights_are_near_and_a_quarter_as_large(narrow: PreTrainedModel, folder: Path) -> None:
    """Normal weights lose 9 to 10 % of their length to 16 quantiles and 8-bit scales."""
    stored = load_file(folder / "model.safetensors")
    for name, weight in weights_of(narrow).items():
        assert 0.07 < apart(weight, stored[f"model.layers.{name}.weight"]) < 0.11, name
    bytes_kept = sum(
        part.numel() * part.element_size()
        for name, part in decoder_blocks(narrow).state_dict().items()
        if not any(word in name for word in ("norm.", "quant_map", "quant_state"))
    )
    half = 2 * sum(weight.numel() for weight in weights_of(narrow).values())
    assert 0.25 < bytes_kept / half < 0.30
    assert narrow.get_input_embeddings().weight.dtype == torch.bfloat16
    assert narrow.dtype == torch.bfloat16


def test_it_reads_as_the_model_that_it_stands_for(narrow: PreTrainedModel, folder: Path) -> None:
    """The oracle: a float32 model of the dequantised weights."""
    size = narrow.config
    wide = type(narrow)(size).eval()
    wide.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    wide.tie_weights()
    layers = range(size.num_hidden_layers + 1)
    with torch.no_grad():
        original = hidden_states(wide, IDS, None, layers)
        for name, weight in weights_of(narrow).items():
            decoder_blocks(wide).get_submodule(name).weight.copy_(weight)
        expected = hidden_states(wide, IDS, None, layers)
        found = hidden_states(narrow, IDS, None, layers)
    for layer in layers:
        assert apart(found[layer], expected[layer]) < 0.02
    top = max(layers)
    assert 0.02 < apart(found[top], original[top]) < 0.3


def test_packed_equals_one_by_one(
    narrow: PreTrainedModel, encoder: Encoder, examples: list[Example]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reader_for(narrow, longest=encoder.longest) is read_row
    texts = [encoder(e.prompt, e.response) for e in examples[:4]]
    states: dict[int, Tensor] = {}
    with torch.no_grad():
        read_row(narrow, pack(texts), states.__setitem__)
        for layer, found in states.items():
            alone = [
                hidden_states(narrow, torch.tensor([t.ids]), None, [layer])[layer][0] for t in texts
            ]
            assert apart(found, torch.cat(alone)) < 0.01


def test_gradients_are_those_of_the_weights_that_it_stands_for(
    narrow: PreTrainedModel, params: Params, folder: Path
) -> None:
    """PEFT's own layers, ours as one operation, and bfloat16 weights: alike, in adapters alone.
    Blocks above the adapters pass the gradient on too."""

    def gradients_of(adapted: Any) -> Tensor:
        loss = adapted(IDS).logits.float().square().mean()
        adapted.zero_grad()
        loss.backward()
        found = {name: w.grad for name, w in adapted.named_parameters() if w.grad is not None}
        assert all("lora_" in name for name in found)
        return torch.cat([gradient.flatten() for gradient in found.values()])

    adapted = move(with_lora(narrow, params.finetune)).eval()
    with torch.no_grad():  # a first pass that passes no gradient
        adapted(IDS)
    theirs = gradients_of(adapted)
    fuse(adapted)
    ours = gradients_of(adapted)
    layer = decoder_blocks(adapted)[0].mlp.up_proj
    assert "forward" in vars(layer), "it is fused"
    other, _ = load_base(folder, CPU)
    nf4.widen(other)
    wide = gradients_of(move(with_lora(other, params.finetune)).eval())
    assert len(ours) == len(theirs) == len(wide)
    assert apart(ours, wide) < 0.05  # bfloat16's rounding
    assert apart(theirs, wide) < 0.05
    assert apart(ours.roll(1), wide) > 0.5


def test_reading_alone_leaves_weights_where_gradients_pass(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """bitsandbytes packs weights anew on some CPUs, when they are read without gradient."""
    modules = pytest.importorskip("bitsandbytes.nn.modules", reason="bitsandbytes is missing")
    monkeypatch.setattr(modules, "has_avx512bf16", lambda: True)
    model, _ = load_base(folder, CPU)
    weight = decoder_blocks(model)[0].mlp.up_proj.weight
    before = weight.data.clone()
    with torch.no_grad():
        model(IDS)
    assert torch.equal(weight.data, before)


def test_a_finetune_learns_and_is_saved_whole(
    narrow: PreTrainedModel,
    params: Params,
    folder: Path,
    encoder: Encoder,
    examples: list[Example],
    documents: list[Document],
) -> None:
    finetuning = params.finetune.model_copy(
        update={
            "learning_rate": 0.01,
            "watch_every": 1,
            "watched_texts": 4,
            "lora_rank": 4,
            "penalty_texts": ("retain",),
        }
    )
    variant = params.variants["sft_contrast"].model_copy(
        update={"steps": 8, "retain_weight": 0.1, "penalty_weight": 0.1}
    )
    frozen = {name: w.clone() for name, w in weights_of(narrow).items()}
    pairs = draw_pairs(examples, "given", "balanced", params.pairs, seed=0)
    first = pairs[: finetuning.pairs_per_step] * variant.steps
    adapted = with_lora(narrow, finetuning)
    objective = Objective(adapted, encoder, finetuning, variant, params.asking, checkpointing=True)
    curve = finetune(
        objective,
        FinetuneData({e.id: e for e in examples}, first, documents),
        finetuning,
        0,
        Checkpoint(Path("nowhere"), "", every=0),
    )
    assert curve[-1].contrast < 0.8 * curve[0].contrast
    assert curve[0].kl == pytest.approx(0, abs=0.1)
    base_maps = {n.replace(".base_layer", ""): w for n, w in weights_of(adapted).items()}
    assert all(torch.equal(base_maps[name], weight) for name, weight in frozen.items())
    save_adapter(folder.parent / "adapter", adapted)
    loaded, _ = load_variant(folder, folder.parent / "adapter", CPU)
    with torch.no_grad():
        now = adapted.eval()(IDS).logits
        assert apart(loaded(IDS).logits, now) < 0.01, "kept apart, not merged"
        with switched_off(adapted):
            assert apart(adapted(IDS).logits, now) > 0.05


def test_an_edited_mlp_has_wide_weights(
    narrow: PreTrainedModel, params: Params, folder: Path
) -> None:
    save_adapter(folder.parent / "adapter", move(with_lora(narrow, params.finetune)))
    model, _ = load_variant(folder, folder.parent / "adapter", CPU)
    with torch.no_grad():
        before = model(IDS).logits
        make_editable(model, [1, 1])
        assert apart(model(IDS).logits, before) < 0.01
        own = mlp_of(model, 1)
        kept = {nf4.is_quantised(m) for m in own.modules()}
        assert kept == {False}
        assert any(nf4.is_quantised(m) for m in decoder_blocks(model)[1].modules())
        delta = {name: 0.05 * torch.randn(w.shape) for name, w in own.named_parameters()}
        plain = model(IDS).logits
        with applied(model, Edit(1, "x", delta)):
            assert apart(model(IDS).logits, plain) > 0.05
        assert torch.equal(model(IDS).logits, plain)
        assert all(not d.any() for d in weight_difference(own, own).values())


def test_missing_bitsandbytes_is_one_line(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(InputError, match=r"needs bitsandbytes; pip install '\.\[quantised\]'"):
        loading.load_base(folder, CPU)
