"""The table of interpretations: its rows, another model's states, and what it refuses."""

from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.params import Params
from pipeline.models.building import new_model
from pipeline.models.encoding import Encoder
from pipeline.selfie.affine_map import AffineMap
from pipeline.selfie.any_decoder import (
    Decoding,
    InterpretationPrompt,
    interpret,
    interpret_vectors,
    states_of,
)

FEW = Decoding(max_new_tokens=3, per_batch=8)
TEXTS = ["How do I bake bread?", "Why?"]


def asked(encoder: Encoder) -> InterpretationPrompt:
    return InterpretationPrompt(encoder.tokenizer, ("Message: ", 0, 0, " What is it?"))


def test_every_text_layer_token_and_injected_block_is_a_row(
    model: PreTrainedModel, encoder: Encoder
) -> None:
    table = interpret(
        model, encoder.tokenizer, asked(encoder), TEXTS, [0, 2], [0, -1], [0, 1], decoding=FEW
    )
    assert list(table) == ["text", "layer", "token_index", "token", "inject_layer",
                           "interpretation", "tokens", "relevancy", "relevancy_abs"]  # fmt: skip
    keys = ["text", "layer", "token_index", "inject_layer"]
    assert len(table) == len(table[keys].drop_duplicates()) == 2 * 2 * 2 * 2
    ids = encoder.tokenizer(TEXTS[0]).input_ids
    row = table[(table.text == TEXTS[0]) & (table.layer == 2) & (table.token_index == len(ids) - 1)]
    assert set(row.token) == {encoder.decode(ids[-1:])}
    state = states_of(model, ids, [2])[2][-1:]
    alone = interpret_vectors(model, encoder.tokenizer, asked(encoder), state, [0, 1], decoding=FEW)
    assert row.interpretation.tolist() == alone.interpretation.tolist()
    for found, expected in zip(row.relevancy, alone.relevancy, strict=True):
        assert found == pytest.approx(expected, abs=1e-6)
    for signed, plain in zip(table.relevancy, table.relevancy_abs, strict=True):
        assert plain == tuple(abs(score) for score in signed)
    whole = interpret(model, encoder.tokenizer, asked(encoder), TEXTS[1], [1], decoding=FEW)
    assert whole.token_index.tolist() == list(range(len(encoder.tokenizer(TEXTS[1]).input_ids)))


def test_another_models_states_are_interpreted_through_an_affine_map(
    model: PreTrainedModel, encoder: Encoder, params: Params
) -> None:
    """Patchscopes: a wider model's states through an affine map."""
    torch.manual_seed(1)
    wide = new_model(params.model.embedded.model_copy(update={"width": 24}), encoder.tokenizer)
    tokenizer, prompt = encoder.tokenizer, asked(encoder)
    ids = tokenizer(TEXTS[0]).input_ids
    there = states_of(wide, ids, [1])[1]
    affine = AffineMap(torch.randn(16, 24), torch.randn(16))
    table = interpret(
        model, tokenizer, prompt, TEXTS[0], [1], decoding=FEW, source=(wide, tokenizer),
        adapter=affine,
    )  # fmt: skip
    expected = interpret_vectors(model, tokenizer, prompt, affine(there), decoding=FEW)
    assert table.interpretation.tolist() == expected.interpretation.tolist()
    with pytest.raises(ValueError, match="vectors of width 24 for a model of width 16"):
        interpret(model, tokenizer, prompt, TEXTS[0], [1], source=(wide, tokenizer))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "token": ({"tokens": [99]}, "token 99 of 'How do I bake bread\\?': it has tokens 0 to"),
    "token from the end": ({"tokens": [-99]}, "token -99"),
    "layer": ({"layers": [3]}, r"layers \[3\]: the model has layers 0 to 2"),
    "no layer": ({"layers": []}, "layers 0 to 2"),
    "block": ({"inject_layers": [2]}, r"blocks \[2\]: the model has blocks 0 to 1"),
    "no block": ({"inject_layers": []}, "blocks 0 to 1"),
    "mode": ({"mode": "multiply"}, "mode 'multiply'"),
    "scale": ({"scale": float("nan")}, "scale nan"),
    "no text": ({"texts": []}, "nothing to interpret"),
    "no token": ({"tokens": []}, "nothing to interpret"),
    "an empty text": ({"texts": ""}, "a text to interpret is empty"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_arguments_that_do_not_fit_are_refused_in_one_line(
    model: PreTrainedModel, encoder: Encoder, change: dict[str, Any], message: str
) -> None:
    kwargs: dict[str, Any] = {"texts": TEXTS[0], "layers": [1]} | change
    with pytest.raises(ValueError, match=message) as refused:
        interpret(model, encoder.tokenizer, asked(encoder), **kwargs)
    assert "\n" not in str(refused.value)
