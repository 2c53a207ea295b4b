"""A hidden state can be read and written, where and when it is said, and nowhere else."""

from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.params import Params
from pipeline.models.encoding import Encoder
from pipeline.models.hooks import (
    decoder_blocks,
    decoder_of,
    hidden_states,
    injection,
    read_injected,
)
from pipeline.models.logits import logits_of
from tests.support.families import FAMILIES, family

TEXTS = [
    ("Explain rain.", "It falls from clouds."),
    ("Why?", ""),
    ("Tell me about the sea.", "No."),
]


@torch.no_grad()
def test_layers_are_hugging_faces(model: PreTrainedModel, encoder: Encoder, params: Params) -> None:
    batch = encoder.batch([encoder(*text) for text in TEXTS])
    layers = range(params.model.embedded.layers + 1)
    found = hidden_states(model, batch.ids, batch.mask, list(layers))
    expected = model(batch.ids, attention_mask=batch.mask, output_hidden_states=True).hidden_states
    for layer in layers:
        assert torch.equal(found[layer], expected[layer]), layer


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_a_layer_is_the_input_of_its_block(name: str) -> None:
    """The law of layers, in every family: hidden_states[l] is what block l is given."""
    decoder, given = family(name), []
    blocks = decoder_blocks(decoder)
    for block in blocks:
        block.register_forward_pre_hook(
            lambda _, args, kwargs: given.append(args[0] if args else kwargs["hidden_states"]),
            with_kwargs=True,
        )
    ids = torch.arange(3, 12)[None]
    expected = decoder(ids, output_hidden_states=True).hidden_states
    assert len(given) == len(blocks) == len(expected) - 1
    assert all(torch.equal(h, e) for h, e in zip(given, expected, strict=False))
    found = hidden_states(decoder, ids, None, range(len(expected)))
    assert all(torch.equal(found[layer], e) for layer, e in enumerate(expected))


@torch.no_grad()
def test_nothing_above_the_top_layer_runs(model: PreTrainedModel, encoder: Encoder) -> None:
    ran = []
    decoder = decoder_of(model)
    for number, block in enumerate(decoder.layers):
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
    batch = encoder.batch([encoder(*TEXTS[0])])
    hidden_states(model, batch.ids, batch.mask, [0, 1])
    assert ran == [0]


@torch.no_grad()
def test_hooks_leave_no_trace(model: PreTrainedModel, encoder: Encoder, params: Params) -> None:
    batch = encoder.batch([encoder(*text) for text in TEXTS])
    before = model(batch.ids, attention_mask=batch.mask).logits
    hidden_states(model, batch.ids, batch.mask, [1])
    with pytest.raises(ValueError, match="layers"):
        hidden_states(model, batch.ids, batch.mask, [99])
    with injection(
        model, params.asking, batch.ids >= 0, torch.zeros(len(TEXTS), model.config.hidden_size)
    ):
        model(batch.ids, attention_mask=batch.mask)
    assert torch.equal(model(batch.ids, attention_mask=batch.mask).logits, before)


@pytest.mark.parametrize("layers", [[], [-1], [3], [0, 99]])
def test_a_layer_that_is_not_there_is_refused(
    model: PreTrainedModel, encoder: Encoder, layers: list[int]
) -> None:
    batch = encoder.batch([encoder(*TEXTS[0])])
    with pytest.raises(ValueError, match="the model has layers 0 to 2"):
        hidden_states(model, batch.ids, batch.mask, layers)


@torch.no_grad()
def test_injecting_the_own_state_changes_nothing(
    model: PreTrainedModel, encoder: Encoder, params: Params
) -> None:
    """The oracle of an injection: what stands there already."""
    batch = encoder.batch([encoder(*TEXTS[0])])
    expected = decoder_of(model)(input_ids=batch.ids).last_hidden_state
    own = hidden_states(model, batch.ids, None, [1])[1]
    slots = torch.zeros_like(batch.ids, dtype=torch.bool)
    slots[0, 4] = True
    found = read_injected(model, batch.ids, params.asking, slots, own[:, 4])
    assert torch.allclose(found, expected, atol=1e-6)
    other = read_injected(model, batch.ids, params.asking, slots, -own[:, 4])
    assert torch.allclose(other[:, :4], expected[:, :4], atol=1e-6)  # causal: the past stays
    assert not torch.allclose(other[:, 4:], expected[:, 4:], atol=1e-3)


@pytest.mark.parametrize(
    ("mode", "scale", "expected"),
    [
        ("replace", 1.0, [0.0, 5.0]),
        ("replace", 0.5, [1.5, 4.5]),
        ("add", 1.0, [3.0, 9.0]),
        ("add", 0.0, [3.0, 4.0]),
        ("norm_matched", 1.0, [3.0, 9.0]),
        ("norm_matched", 0.2, [3.0, 5.0]),
    ],
)
def test_modes_worked_example(mode: str, scale: float, expected: list[float]) -> None:
    from pipeline.models.hooks import _written

    found = _written(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 5.0]), mode, scale)
    assert found.tolist() == pytest.approx(expected)


def test_norm_matched_zero_is_nothing() -> None:
    from pipeline.models.hooks import _written

    hidden = torch.tensor([3.0, 4.0])
    assert torch.equal(_written(hidden, torch.zeros(2), "norm_matched", 1.0), hidden)


@torch.no_grad()
def test_injection_at_prefill_equals_injection_at_every_step(
    model: PreTrainedModel, encoder: Encoder, params: Params
) -> None:
    prompt = encoder.placeholder_prompt("Message: {message} What is it about?", 3)
    ids = torch.tensor([prompt])
    vector = torch.randn(1, model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    said, cached = list(prompt), []
    with injection(model, params.asking, ids == encoder.slot, vector):
        output = model(ids, use_cache=True)
    for _ in range(4):
        cached.append(int(output.logits[0, -1].argmax()))
        output = model(
            torch.tensor([cached[-1:]]), past_key_values=output.past_key_values, use_cache=True
        )
    again = []
    for _ in range(4):
        grown = torch.tensor([said])
        hidden = read_injected(model, grown, params.asking, grown == encoder.slot, vector)
        again.append(int(logits_of(model, hidden[:, -1]).argmax()))
        said.append(again[-1])
    assert cached == again


BAD = [
    ({"inject_layer": 2}, "blocks 0 to 1"),
    ({"inject_layer": -1}, "blocks 0 to 1"),
    ({"slots": torch.zeros(1, 5, dtype=torch.bool)}, "no placeholder"),
    ({"vectors": torch.ones(1, 15)}, "width 15"),
    ({"vectors": torch.ones(1, 2, 16), "slots": torch.ones(1, 5).bool()}, "2 vectors for 5"),
    ({"mode": "multiply"}, "mode 'multiply'"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message for _, message in BAD])
def test_what_cannot_be_written_is_refused(
    model: PreTrainedModel, params: Params, change: dict[str, Any], message: str
) -> None:
    ids = torch.arange(5)[None]
    asking = params.asking.model_copy(update=change)
    kwargs = {"slots": ids == 2, "vectors": torch.ones(1, 16)}
    kwargs |= {name: value for name, value in change.items() if name in kwargs}
    with pytest.raises(ValueError, match=message), injection(model, asking, **kwargs):
        model(ids)
    assert not model.get_decoder().layers[1]._forward_pre_hooks


@torch.no_grad()
def test_a_vector_of_another_precision_is_cast(model: PreTrainedModel, params: Params) -> None:
    half = model.to(torch.bfloat16)
    ids = torch.arange(5)[None]
    hidden = read_injected(
        half, ids, params.asking, ids == 2, torch.ones(1, 16, dtype=torch.float32)
    )
    assert hidden.dtype == torch.bfloat16
