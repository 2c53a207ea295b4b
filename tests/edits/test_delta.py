"""An edit touches one MLP, is undone to the bit, and obeys its laws on every kind of block."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    OPTConfig,
    PreTrainedModel,
)

from pipeline.core.console import InputError
from pipeline.core.records import Document
from pipeline.edits.delta import (
    Edit,
    applied,
    load_edit,
    mlp_of,
    model_digest,
    save_edit,
    weight_difference,
)
from pipeline.edits.mlp_training import MlpInputs, float32_copy, read_inputs
from pipeline.models.encoding import Encoder
from pipeline.models.hooks import decoder_blocks, hidden_states

SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3,
         "num_attention_heads": 2}  # fmt: skip


def decoder(kind: str, vocabulary: int) -> PreTrainedModel:
    sizes = SMALL | {"vocab_size": vocabulary}
    config: Any
    match kind:
        case "parallel":
            config = GPTNeoXConfig(**sizes, use_parallel_residual=True)
        case "serial":
            config = GPTNeoXConfig(**sizes, use_parallel_residual=False)
        case "normed":
            config = Gemma2Config(**sizes, num_key_value_heads=2, head_dim=8)
        case "conv":
            config = GPT2Config(vocab_size=vocabulary, n_embd=16, n_layer=3, n_head=2)
        case _:
            config = OPTConfig(
                vocab_size=vocabulary, hidden_size=16, ffn_dim=24, num_hidden_layers=3,
                num_attention_heads=2, word_embed_proj_dim=16,
            )  # fmt: skip
    torch.manual_seed(0)
    built: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
    return built


def moved(model: PreTrainedModel, layer: int, made_for: str = "x") -> Edit:
    """An edit that changes every weight."""
    own = mlp_of(model, layer)
    other, generator = float32_copy(own), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in other.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator)
    return Edit(layer, made_for, weight_difference(other, own))


def bits(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("kind", ["llama", "parallel", "serial", "normed", "conv"])
@torch.no_grad()
def test_states_are_the_mlps_normed_output_plus_a_rest_that_no_edit_changes(
    kind: str, model: PreTrainedModel, encoder: Encoder, documents: list[Document]
) -> None:
    """norm(mlp(pre)) + rest = hidden_states[l], before an edit and after it."""
    decoding = model if kind == "llama" else decoder(kind, len(encoder.tokenizer))
    texts = encoder.texts([(d.prompt, d.response) for d in documents[:4]])
    batch = encoder.batch(texts)
    for layer in range(1, len(decoder_blocks(decoding))):
        own = mlp_of(decoding, layer)
        inputs = {
            p: read_inputs(decoding, encoder, texts, layer, p) for p in ("prompt_end", "last")
        }
        with applied(decoding, moved(decoding, layer)):
            edited = hidden_states(decoding, batch.ids, batch.mask, [layer])[layer]
            for position, found in inputs.items():
                assert torch.allclose(found.states(own), batch.at(edited, position), atol=1e-5)
        plain = hidden_states(decoding, batch.ids, batch.mask, [layer])[layer]
        assert torch.allclose(inputs["last"].states(own), batch.at(plain, "last"), atol=1e-5)
        assert not torch.allclose(edited, plain, atol=1e-2)


def test_inputs_without_a_position_are_of_every_token(
    model: PreTrainedModel, encoder: Encoder, documents: list[Document]
) -> None:
    texts = encoder.texts([(d.prompt, d.response) for d in documents[:70]])
    inputs = read_inputs(model, encoder, texts, 1, None)
    assert isinstance(inputs, MlpInputs)
    assert len(inputs.pre) == len(inputs.rest) == sum(len(text.ids) for text in texts)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_only_the_named_mlp_changes_and_is_undone_to_the_bit(
    model: PreTrainedModel, dtype: torch.dtype
) -> None:
    nn.Module.to(model, dtype)
    before = bits(model)
    edit = moved(model, 1)
    with applied(model, edit):
        during = bits(model)
    after = bits(model)
    named = "model.layers.0.mlp."
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor), name
        assert torch.equal(during[name], tensor) != name.startswith(named), name
    assert {named + name for name in edit.delta} == {n for n in before if n.startswith(named)}
    adding = {n: before[named + n].float() + d for n, d in edit.delta.items()}
    assert all(torch.equal(during[named + n], w.to(dtype)) for n, w in adding.items())


def test_an_edit_is_undone_after_an_error_too(model: PreTrainedModel) -> None:
    before, edit = bits(model), moved(model, 1)
    with pytest.raises(RuntimeError, match="stop"), applied(model, edit):
        raise RuntimeError("stop")
    assert all(torch.equal(tensor, before[name]) for name, tensor in bits(model).items())


def test_an_edit_is_kept_and_refused_by_another_model(
    model: PreTrainedModel, tmp_path: Path
) -> None:
    edit = moved(model, 1, made_for="a" * 64)
    save_edit(tmp_path / "one", edit, {"method": "supervised"})
    save_edit(tmp_path / "two", edit, {"method": "supervised"})
    found = load_edit(tmp_path / "one", "a" * 64)
    assert found.layer == 1
    assert all(torch.equal(found.delta[name], delta) for name, delta in edit.delta.items())
    assert all(delta.dtype == torch.float32 for delta in found.delta.values())
    for name in ("delta.safetensors", "edit.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    with pytest.raises(InputError, match=r"one is an edit of another model \(aaaaaaaaaaaa, not b"):
        load_edit(tmp_path / "one", "b" * 64)


def test_a_model_is_named_by_its_card_and_its_adapter(tmp_path: Path) -> None:
    card, adapter = tmp_path / "base.json", tmp_path / "adapter_model.safetensors"
    digests = set()
    for said, weights in (("a", b"x"), ("b", b"x"), ("a", b"y")):
        card.write_text(said, encoding="utf-8")
        adapter.write_bytes(weights)
        digests.add(model_digest(card, tmp_path))
    assert len(digests) == 3


def test_a_delta_of_another_shape_is_refused(model: PreTrainedModel) -> None:
    edit = moved(model, 1)
    with (
        pytest.raises(InputError, match="not that of the MLP of layer 1"),
        applied(model, Edit(1, "x", {name: delta[:1] for name, delta in edit.delta.items()})),
    ):
        pass


@pytest.mark.parametrize("layer", [0, 2, 9])
def test_layers_without_a_next_block_are_refused(model: PreTrainedModel, layer: int) -> None:
    with pytest.raises(InputError, match=f"an edit of layer {layer}: .* at layers 1 to 1"):
        mlp_of(model, layer)


class _Halved(nn.Module):
    """A block that gives half of what it would: its MLP is not added as it is."""

    def __init__(self, block: nn.Module):
        super().__init__()
        self.block, self.mlp = block, block.mlp

    def forward(self, hidden: torch.Tensor, **others: Any) -> torch.Tensor:
        halved: torch.Tensor = self.block(hidden, **others) / 2
        return halved


def test_blocks_that_do_not_add_are_refused_by_name(
    model: PreTrainedModel, encoder: Encoder
) -> None:
    with pytest.raises(InputError, match="OPTDecoderLayer does not add its MLP's output"):
        mlp_of(decoder("opt", len(encoder.tokenizer)), 1)
    blocks = decoder_blocks(model)
    blocks[0] = _Halved(blocks[0])
    with pytest.raises(InputError, match="_Halved does not add its MLP's output"):
        mlp_of(model, 1)
