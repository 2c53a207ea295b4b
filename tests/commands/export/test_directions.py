"""A concept's direction: from one mean to the other, for Python and for llama.cpp alike."""

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from safetensors.numpy import load_file

from commands.export.directions import (
    Direction,
    direction_of,
    export_direction,
    is_for_llama_cpp,
    ranked,
    write_control_vector,
)
from commands.export.run_files import read_run
from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.core.paths import REPRESENTATIONS
from pipeline.core.representations import Representations, load_representations
from tests.commands.export.conftest import VARIANT


@pytest.fixture
def stored() -> Representations:
    """Three concepts on a line, of unequal numbers: means 0, 4 and 10."""
    places = [0, 0, 0, 0, 4, 4, 9, 11, 50]
    concepts = ("a", "a", "a", "a", "b", "b", "c", "c", "c")
    values = np.array(places, np.float32).reshape(1, 1, -1, 1)
    splits = ("train",) * 8 + ("test",)
    return Representations(values, (1,), ("last",), tuple("123456789"), concepts, splits)


def test_it_is_the_difference_of_means_and_each_other_concept_counts_the_same(
    stored: Representations,
) -> None:
    assert direction_of(stored, "c", "a", 1, "last").values == [10]
    assert direction_of(stored, "c", "", 1, "last").values == [10 - (0 + 4) / 2]
    found = direction_of(stored, "a", "b", 1, "last")
    assert (found.length, found.texts, found.against) == (4, 6, "b")


def test_added_once_it_carries_one_mean_to_the_other(finished: Params) -> None:
    stored = load_representations(REPRESENTATIONS / f"{VARIANT}.safetensors")
    found = direction_of(stored, "fraud", "safe", 2, "mean")
    states, labels = stored.at(2, "mean", "train")
    fraud, safe = (states[labels == name].mean(0) for name in ("fraud", "safe"))
    np.testing.assert_allclose(safe + found.values, fraud, atol=1e-5)


@pytest.mark.parametrize(
    ("concept", "against", "layer", "position", "message"),
    [
        ("d", "", 1, "last", "no training text has the concept 'd'; known: a, b, c"),
        ("a", "d", 1, "last", "no training text has the concept 'd'"),
        ("a", "a", 1, "last", "'a' has nothing to be told from"),
        ("a", "", 2, "last", r"has not read layer 2 at 'last'; it has layers 1 at last"),
        ("a", "", 1, "mean", "has not read layer 1 at 'mean'"),
    ],
)
def test_what_the_run_has_not_read_is_one_line(
    stored: Representations, concept: str, against: str, layer: int, position: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        direction_of(stored, concept, against, layer, position)


def test_it_ranks_held_out_texts_of_its_concept_and_a_random_one_does_not(
    finished: Params,
) -> None:
    stored = load_representations(REPRESENTATIONS / f"{VARIANT}.safetensors")
    run = read_run(VARIANT)
    found = direction_of(stored, "fraud", "", 3, "last")
    rows = ranked(stored, found, run)
    assert set(rows) == {"test", "novel", "shifted"}
    assert all(row["value"] == 1 and row["low"] <= 1 for row in rows.values())
    drawn = np.random.default_rng(5).normal(size=16).astype(np.float32)
    drawn[0] = 0
    random = ranked(stored, Direction("fraud", "", 3, "last", 1, drawn), run)
    assert all(row["low"] < 0.5 < row["high"] for row in random.values())


def test_the_files_hold_one_direction(finished: Params, tmp_path: Path) -> None:
    export_direction(VARIANT, "fraud", "", None, "", tmp_path / "one")
    export_direction(VARIANT, "fraud", "", 3, "last", tmp_path / "two")
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in
                ("one", "two"))  # fmt: skip
    assert one == two, "reading says which layer and position"
    assert set(one) == {"README.md", "direction.safetensors", "direction.gguf"}
    values = load_file(tmp_path / "one/direction.safetensors")["direction"]
    (tensor,) = GGUFReader(tmp_path / "one/direction.gguf").tensors
    assert tensor.name == "direction.2"
    assert np.array_equal(tensor.data, values)


def test_llama_cpp_reads_the_vector(tmp_path: Path) -> None:
    """By the rules of its loader: architecture, a tensor `direction.N` with N > 0, float32, [D]."""
    found = Direction("fraud", "", 7, "last", 1, np.arange(16, dtype=np.float32))
    write_control_vector(tmp_path / "v.gguf", found, "llama")
    reader = GGUFReader(tmp_path / "v.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.architecture"] == "controlvector"
    assert fields["controlvector.model_hint"] == "llama"
    assert fields["controlvector.layer_count"] == 1
    (tensor,) = reader.tensors
    kind, _, number = tensor.name.partition(".")
    assert (kind, int(number)) == ("direction", 6), "layer 7 is the output of block 6"
    assert (tensor.tensor_type.name, list(tensor.shape)) == ("F32", [16])


def test_llama_cpp_adds_nothing_at_the_first_block_nor_after_the_last(
    finished: Params, tmp_path: Path
) -> None:
    assert [layer for layer in range(5) if is_for_llama_cpp(layer, blocks=4)] == [2, 3]
    export_direction(VARIANT, "fraud", "safe", 4, "", tmp_path / "last")
    assert not (tmp_path / "last/direction.gguf").exists()
    assert "no file for llama.cpp" in (tmp_path / "last/README.md").read_text(encoding="utf-8")
