"""Monitors in torch say what the fitted ones say."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from scipy.special import expit
from transformers import PreTrainedModel

from pipeline.core.params import Params
from pipeline.core.records import Example
from pipeline.core.sections import AttackedMonitor
from pipeline.inference.differentiable import (
    candidates_for,
    fit_readers,
    reader_of_end,
    reader_of_tokens,
    states_at_ends,
)
from pipeline.models.encoding import Encoder
from pipeline.monitors.classifiers import MULTILAYER, NEURONS, fit_likeliest
from pipeline.monitors.datasets import HARMFUL, SAFE
from pipeline.monitors.pooled import POOLINGS, PooledProbe, Pooling

KINDS = get_args(AttackedMonitor)
CPU = torch.device("cpu")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in POOLINGS])
def test_a_monitor_of_states_gives_the_fitted_ones_probabilities(kind: AttackedMonitor) -> None:
    """Of one layer's state, or of several end to end; whichever class comes first by name."""
    layers = (1, 3) if kind in (MULTILAYER, NEURONS) else (3,)
    rng = np.random.default_rng(0)
    vectors = 3 + rng.normal(size=(800, 6 * len(layers)))
    labels = np.repeat([HARMFUL, SAFE], 400)
    vectors[:400, [0, -1]] += 2
    monitor = fit_likeliest(
        candidates_for(kind, seed=0), vectors[::2], labels[::2], vectors[1::2], labels[1::2]
    )
    expected = monitor.predict_proba(vectors)[:, list(monitor.classes_).index(HARMFUL)]
    ends = torch.arange(800) % 4
    states = {}
    for number, layer in enumerate(layers):
        states[layer] = torch.zeros(800, 4, 6)
        own = vectors[:, 6 * number : 6 * (number + 1)]
        states[layer][torch.arange(800), ends] = torch.from_numpy(own).float()
    reader = reader_of_end(monitor, layers, vectors.shape[1], CPU)
    assert reader.layers == layers
    found = reader.logits(states, torch.ones(800, 4, dtype=torch.bool), ends)
    assert expit(found.numpy()) == pytest.approx(expected, abs=1e-4)
    assert expected.std() > 0.05, "a constant would pass"


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_pooled_one_gives_its_logits_whatever_stands_behind_a_text(pooling: Pooling) -> None:
    rng = np.random.default_rng(1)
    texts = [rng.normal(size=(n, 5)).astype(np.float32) for n in (1, 4, 7)]
    probe = PooledProbe(pooling, rng.normal(size=5), rng.normal(size=5), 0.3)
    expected = [probe.read(own, np.array([0]))[0][0] for own in texts]
    states = torch.full((3, 7, 5), 100.0)
    mask = torch.zeros(3, 7, dtype=torch.bool)
    for row, own in enumerate(texts):
        states[row, : len(own)] = torch.from_numpy(own)
        mask[row, : len(own)] = True
    reader = reader_of_tokens(probe, 2, CPU)
    found = reader.logits({2: states}, mask, torch.tensor([0, 3, 6]))
    assert found.numpy() == pytest.approx(expected, abs=1e-4)


def test_states_of_all_layers_stand_end_to_end(
    model: PreTrainedModel, encoder: Encoder, examples: list[Example], params: Params
) -> None:
    """By the model's own forward pass, at the prompt's last token."""
    layers = params.extraction.layers
    found = states_at_ends(model, encoder, examples[:5], params.extraction)
    for own, example in zip(found, examples, strict=False):
        text = encoder(example.prompt, example.response)
        read = model(torch.tensor([text.ids]), output_hidden_states=True).hidden_states
        expected = torch.cat([read[layer][0, text.prompt_end] for layer in layers])
        assert own == pytest.approx(expected.detach().numpy(), abs=1e-5)


def test_readers_are_fitted_on_prompts_alone_and_leave_no_file(
    model: PreTrainedModel,
    encoder: Encoder,
    examples: list[Example],
    params: Params,
    tmp_path: Path,
) -> None:
    learned = [e for e in examples if e.split == "train"]
    known = [e for e in examples if e.split == "validation"]
    file = tmp_path / "states"

    def logits(texts: list[Example]) -> dict[str, float]:
        readers = fit_readers(
            model, encoder, texts, known, lambda e: e.concept != "safe", KINDS, 1,
            params.extraction, 0, file,
        )  # fmt: skip
        states = dict.fromkeys(params.extraction.layers, torch.ones(1, 3, 16))
        mask, ends = torch.ones(1, 3, dtype=torch.bool), torch.tensor([2])
        return {kind: float(own.logits(states, mask, ends)) for kind, own in readers.items()}

    found = logits(learned)
    assert list(found) == list(KINDS)
    assert list(tmp_path.iterdir()) == []
    other = [Example(e.id, e.prompt, "x", "", e.concept, e.split, "") for e in learned]
    assert logits(other) == found
