"""Examples run on what a finished run leaves behind."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from examples import affine
from pipeline.core.params import Params
from pipeline.core.paths import BASE_MODEL, REPRESENTATIONS
from pipeline.core.records import Example
from pipeline.core.representations import RepresentationsFile, load_representations
from pipeline.models.encoding import Encoder
from pipeline.models.loading import save_trained
from pipeline.selfie.controls import example_states
from pipeline.selfie.interpret import VectorInterpretation
from tests.support.tiny import VARIANTS, tiny_tree, write_params


@pytest.fixture
def finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: PreTrainedModel, encoder: Encoder,
    params: Params, examples: list[Example],
) -> Path:  # fmt: skip
    """A base model, and the states of it and of a variant whose states are an affine map away."""
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path / "params.yaml", tiny_tree())
    save_trained(BASE_MODEL, model, encoder.tokenizer, params.model)
    shown = [e for e in examples if e.split in ("train", "test")]
    layers, position = params.extraction.layers, params.asking.positions[0]
    states = example_states(model, encoder, shown, layers, [position], 64)
    values = np.stack([states[layer, position].numpy() for layer in layers])[:, None]
    mixed = values @ np.random.default_rng(0).normal(size=(16, 16)) + 1
    ids, concepts, splits = zip(*((e.id, e.concept, e.split) for e in shown), strict=True)
    for name, own in zip(VARIANTS, (values, mixed), strict=True):
        path = REPRESENTATIONS / f"{name}.safetensors"
        space = RepresentationsFile(path, layers, (position,), ids, concepts, splits, 16)
        space.make()
        space.put(range(len(shown)), own)
    return tmp_path


def table(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, ...], list[float]]:
    affine.main()
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["states_of", "layer", "as_they_are", "mapped", "shuffled"]
    return {tuple(row.split()[:2]): [float(cell) for cell in row.split()[2:]] for row in rows}


def test_mapped_states_are_interpreted_as_those_they_are_mapped_to(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = table(capsys)
    assert list(found) == [("base", "0"), ("base", "1"), ("base", "2"), ("sft_contrast", "1")]
    assert all(0 <= share <= 1 for shares in found.values() for share in shares)

    home = load_representations(REPRESENTATIONS / "base.safetensors").at(1, "last", "test")

    def by_heart(_: object, __: object, states: Tensor, *___: object) -> list[VectorInterpretation]:
        """A random model says one thing of every state; this reader knows its own states alone."""
        nearest = torch.cdist(states.double(), torch.from_numpy(home[0])).argmin(1)
        return [VectorInterpretation(str(home[1][index]), (), ()) for index in nearest.tolist()]

    monkeypatch.setattr(affine, "interpret_states", by_heart)
    monkeypatch.setattr(affine, "concept_named", lambda text, _: text)
    read = table(capsys)
    own, other = read["base", "1"], read["sft_contrast", "1"]
    assert own[:2] == [1, 1], "the map of a layer to itself is the identity"
    assert other[1] == 1, "a map undoes what another one did"
    assert max(other[0], own[2], other[2]) < 0.6, "no map, or one of shuffled pairs"
