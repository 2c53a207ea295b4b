"""Monitors in torch say what the fitted ones say."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from scipy.special import expit
from transformers import PreTrainedModel

from pipeline.core.records import Example
from pipeline.core.sections import AttackedMonitor
from pipeline.inference.differentiable import fit_readers, reader_of_end, reader_of_tokens
from pipeline.models.encoding import Encoder
from pipeline.monitors.classifiers import fit, new_monitors
from pipeline.monitors.datasets import HARMFUL, SAFE
from pipeline.monitors.pooled import POOLINGS, PooledProbe, Pooling

KINDS = get_args(AttackedMonitor)
CPU = torch.device("cpu")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in POOLINGS])
def test_a_monitor_of_one_state_gives_the_fitted_ones_probabilities(kind: str) -> None:
    rng = np.random.default_rng(0)
    vectors, labels = 3 + rng.normal(size=(80, 6)), np.repeat([HARMFUL, SAFE], 40)
    vectors[:40, 0] += 1
    monitor = fit(new_monitors(neighbours=1, seed=0)[kind], vectors, labels)
    expected = monitor.predict_proba(vectors)[:, list(monitor.classes_).index(HARMFUL)]
    states = torch.zeros(80, 4, 6)
    ends = torch.arange(80) % 4
    states[torch.arange(80), ends] = torch.from_numpy(vectors).float()
    found = reader_of_end(monitor, 6, CPU)(states, torch.ones(80, 4, dtype=torch.bool), ends)
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
    found = reader_of_tokens(probe, CPU)(states, mask, torch.tensor([0, 3, 6]))
    assert found.numpy() == pytest.approx(expected, abs=1e-4)


def test_readers_are_fitted_on_prompts_alone_and_leave_no_file(
    model: PreTrainedModel, encoder: Encoder, examples: list[Example], tmp_path: Path
) -> None:
    learned = [e for e in examples if e.split == "train"]
    known = [e for e in examples if e.split == "validation"]
    file = tmp_path / "states"

    def logits(texts: list[Example]) -> dict[str, float]:
        readers = fit_readers(
            model, encoder, texts, known, lambda e: e.concept != "safe", KINDS, 1, 512, 0, file
        )
        states, mask = torch.ones(1, 3, 16), torch.ones(1, 3, dtype=torch.bool)
        return {k: float(read(states, mask, torch.tensor([2]))) for k, read in readers.items()}

    found = logits(learned)
    assert list(found) == list(KINDS)
    assert list(tmp_path.iterdir()) == []
    other = [Example(e.id, e.prompt, "x", "", e.concept, e.split, "") for e in learned]
    assert logits(other) == found
