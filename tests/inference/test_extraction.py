"""A text's representation is its own: no batch, padding or order changes it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file
from transformers import PreTrainedModel

from pipeline.core.params import Params
from pipeline.core.records import Example
from pipeline.core.representations import Representations, RepresentationsFile, load_representations
from pipeline.core.sections import Extraction
from pipeline.inference import extraction
from pipeline.inference.extraction import extract, read_batch
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoder


def space_for(
    path: Path, examples: list[Example], params: Extraction, width: int
) -> RepresentationsFile:
    return RepresentationsFile(
        path, params.layers, params.positions, tuple(e.id for e in examples),
        tuple(e.concept for e in examples), tuple(e.split for e in examples), width,
    )  # fmt: skip


@pytest.fixture
def read(
    tmp_path: Path, model: PreTrainedModel, encoder: Encoder, params: Params
) -> Callable[..., NDArray[np.float32]]:
    """The representations of examples, by way of a file."""

    def run(examples: list[Example], **update: object) -> NDArray[np.float32]:
        wanted = params.extraction.model_copy(update=update)
        texts = [encoder(e.prompt, e.response) for e in examples]
        space = space_for(tmp_path / "space", examples, wanted, params.model.embedded.width)
        never = Checkpoint(tmp_path / "state", "key", every=0)
        extract(model, encoder, texts, wanted, space, never)
        return load_representations(space.path).values

    return run


def test_padding_and_batch_size_change_no_representation(
    read: Callable[..., NDArray[np.float32]], examples: list[Example]
) -> None:
    together = read(examples[:24])
    np.testing.assert_allclose(together, read(examples[:24], tokens_per_batch=1), atol=2e-6)
    alone = [read([example]) for example in examples[:24]]
    np.testing.assert_allclose(together, np.concatenate(alone, axis=2), atol=2e-6)


def test_representations_are_in_the_order_of_texts(
    read: Callable[..., NDArray[np.float32]], examples: list[Example]
) -> None:
    forwards, backwards = read(examples[:10]), read(examples[:10][::-1])
    np.testing.assert_allclose(forwards, backwards[:, :, ::-1], atol=2e-6)


def test_the_shape_is_layers_positions_texts_width(
    read: Callable[..., NDArray[np.float32]], params: Params, examples: list[Example]
) -> None:
    found = read(examples[:3], layers=(2, 0), positions=("mean", "last"))
    assert found.shape == (2, 2, 3, params.model.embedded.width)
    both = read(examples[:3])
    np.testing.assert_allclose(found[0, 1], both[2, params.extraction.positions.index("last")])


@pytest.mark.parametrize("kill_after", [1, 4])
def test_a_killed_run_goes_on_to_the_same_bytes(
    tmp_path: Path,
    model: PreTrainedModel,
    encoder: Encoder,
    params: Params,
    examples: list[Example],
    monkeypatch: pytest.MonkeyPatch,
    kill_after: int,
) -> None:
    wanted = params.extraction.model_copy(update={"tokens_per_batch": 100})
    texts = [encoder(e.prompt, e.response) for e in examples[:20]]

    def run(name: str, key: str = "key") -> int:
        """How many batches were read."""
        space = space_for(tmp_path / name, examples[:20], wanted, params.model.embedded.width)
        checkpoint = Checkpoint(tmp_path / f"{name}.state", key, every=1)
        read.clear()
        extract(model, encoder, texts, wanted, space, checkpoint)
        return len(read)

    read: list[int] = []
    last = [0]

    def counted(*arguments: object) -> NDArray[np.float32]:
        if last[0] and len(read) == last[0]:
            raise KeyboardInterrupt
        read.append(1)
        return read_batch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(extraction, "read_batch", counted)
    every = run("whole")
    last[0] = kill_after
    with pytest.raises(KeyboardInterrupt):
        run("killed")
    last[0] = 0
    assert run("killed") == every - kill_after
    assert (tmp_path / "killed").read_bytes() == (tmp_path / "whole").read_bytes()
    assert run("killed", key="another run") == every
    (tmp_path / "killed").write_bytes(b"too short")
    assert run("killed", key="another run") == every


VALUES = np.arange(2 * 1 * 4 * 3, dtype=np.float32).reshape(2, 1, 4, 3)
FIELDS = {
    "layers": (0, 5), "positions": ("last",), "ids": ("a", "b\u00e9", "c", "d"),
    "concepts": ("x", "y", "x", "y"), "splits": ("train", "test", "test", "train"),
}  # fmt: skip


def stored() -> Representations:
    return Representations(VALUES, **FIELDS)  # type: ignore[arg-type]


def test_a_filled_space_is_a_safetensors_file(tmp_path: Path) -> None:
    """The bytes of the library's own writer, whatever order the texts come in."""
    space = RepresentationsFile(tmp_path / "space", **FIELDS, width=3)  # type: ignore[arg-type]
    assert not space.is_there()
    space.make()
    assert space.is_there()
    for texts in ([2, 0], [3], [1]):
        space.put(texts, VALUES[:, :, texts])
    described = {name: FIELDS[name] for name in sorted(FIELDS)}
    metadata = {"representations": json.dumps(described)}
    save_file({"values": VALUES}, tmp_path / "library", metadata=metadata)
    assert space.path.read_bytes() == (tmp_path / "library").read_bytes()
    found = load_representations(space.path)
    np.testing.assert_array_equal(found.values, VALUES)
    assert vars(found) | {"values": 0} == vars(stored()) | {"values": 0}


def test_representations_are_chosen_by_layer_position_and_split() -> None:
    vectors, concepts = stored().at(5, "last", "test")
    np.testing.assert_array_equal(vectors, [[15, 16, 17], [18, 19, 20]])
    assert list(concepts) == ["y", "x"]
    assert stored().held_out() == ("test",)
    with pytest.raises(ValueError, match="not in tuple"):
        stored().at(4, "last", "test")
