"""A text's representation is its own: no batch, padding or order changes it."""

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedModel

from pipeline.extraction import extract
from pipeline.models import Encoder
from pipeline.params import Params
from pipeline.records import Example
from pipeline.representations import (
    Representations,
    load_representations,
    save_representations,
)


def test_padding_and_batch_size_change_no_representation(
    model: PreTrainedModel, encoder: Encoder, params: Params, examples: list[Example]
) -> None:
    texts = [encoder(e.prompt, e.response) for e in examples[:24]]
    together = extract(model, encoder, texts, params.extraction)
    alone = [
        extract(
            model, encoder, [text], params.extraction.model_copy(update={"tokens_per_batch": 1})
        )
        for text in texts
    ]
    np.testing.assert_allclose(together, np.concatenate(alone, axis=2), atol=2e-6)


def test_order_is_the_texts_order(
    model: PreTrainedModel, encoder: Encoder, params: Params, examples: list[Example]
) -> None:
    texts = [encoder(e.prompt, e.response) for e in examples[:10]]
    forwards = extract(model, encoder, texts, params.extraction)
    backwards = extract(model, encoder, texts[::-1], params.extraction)
    np.testing.assert_allclose(forwards, backwards[:, :, ::-1], atol=2e-6)


def test_shape_is_layers_positions_texts_width(
    model: PreTrainedModel, encoder: Encoder, params: Params, examples: list[Example]
) -> None:
    wanted = params.extraction.model_copy(update={"layers": (2, 0), "positions": ("mean", "last")})
    texts = [encoder(e.prompt, e.response) for e in examples[:3]]
    found = extract(model, encoder, texts, wanted)
    assert found.shape == (2, 2, 3, params.model.width)
    both = extract(model, encoder, texts, params.extraction)
    np.testing.assert_allclose(found[0, 1], both[2, params.extraction.positions.index("last")])


def stored() -> Representations:
    values = np.arange(2 * 1 * 4 * 3, dtype=np.float32).reshape(2, 1, 4, 3)
    return Representations(
        values, (0, 5), ("last",), ("a", "b", "c", "d"), ("x", "y", "x", "y"),
        ("train", "test", "test", "train"),
    )  # fmt: skip


def test_written_and_read_back_are_one(tmp_path: Path) -> None:
    save_representations(tmp_path / "r.safetensors", stored())
    found = load_representations(tmp_path / "r.safetensors")
    np.testing.assert_array_equal(found.values, stored().values)
    assert vars(found) | {"values": 0} == vars(stored()) | {"values": 0}


def test_the_same_representations_are_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        save_representations(tmp_path / name, stored())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (
        json.dumps(stored().ids)[1:-1].replace('"', '\\"').encode() in (tmp_path / "a").read_bytes()
    )


def test_chosen_by_layer_position_and_split() -> None:
    vectors, concepts = stored().at(5, "last", "test")
    np.testing.assert_array_equal(vectors, [[15, 16, 17], [18, 19, 20]])
    assert list(concepts) == ["y", "x"]
    assert stored().held_out() == ("test",)
    with pytest.raises(ValueError, match="not in tuple"):
        stored().at(4, "last", "test")
