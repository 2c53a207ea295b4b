"""Monitors of harm as functions in torch, through which gradients flow: what an attacker who knows
a monitor would build of it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.files import remove
from pipeline.core.records import Example
from pipeline.core.sections import AttackedMonitor
from pipeline.inference.pooled_scores import stored_states
from pipeline.models.encoding import Encoder
from pipeline.monitors.classifiers import fit, new_monitors
from pipeline.monitors.datasets import HARMFUL, SAFE
from pipeline.monitors.pooled import POOLINGS, PooledProbe, fit_pooled

HarmReader = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The logits of harm [B] of prompts: their states [B, T, D], which tokens are real, bool [B, T],
and the index of each one's last token [B]."""


def fit_readers(
    model: PreTrainedModel,
    encoder: Encoder,
    learned: Sequence[Example],
    known: Sequence[Example],
    is_harmful: Callable[[Example], bool],
    kinds: Sequence[AttackedMonitor],
    layer: int,
    tokens_per_batch: int,
    seed: int,
    file: Path,
) -> dict[str, HarmReader]:
    """Monitors of the prompts of training texts, by kind. Where a step of the fit is chosen, the
    validation texts that are `known` choose it. file: where tokens' states lie meanwhile.

    Kinds that read one state read that at the prompt's end, as the `monitors` stage fits them to
    score requests; pooled ones read all tokens of the prompt.
    """
    stored = [replace(example, response="") for example in (*learned, *known)]
    harmful = np.array([is_harmful(example) for example in stored], bool)
    first, last = range(len(learned)), range(len(learned), len(stored))
    try:
        states = stored_states(model, encoder, stored, layer, tokens_per_batch, file)
        ends = states.last_of(first).astype(np.float64)
        labels = np.where(harmful[: len(learned)], HARMFUL, SAFE)
        found: dict[str, HarmReader] = {}
        for kind in kinds:
            if kind in POOLINGS:
                probe = fit_pooled(kind, states, harmful, first, last)
                found[kind] = reader_of_tokens(probe, model.device)
            else:
                monitor = fit(new_monitors(neighbours=1, seed=seed)[kind], ends, labels)
                found[kind] = reader_of_end(monitor, ends.shape[1], model.device)
        return found
    finally:
        remove(file)


def reader_of_end(monitor: ClassifierMixin, width: int, device: torch.device) -> HarmReader:
    """A fitted monitor of one state, here the last token's: an affine map or an MLP of one hidden
    layer (ReLU) on standardised numbers."""
    sign = 1.0 if monitor.classes_[1] == HARMFUL else -1.0

    def at(numbers: Any) -> Tensor:
        return torch.from_numpy(np.asarray(numbers, np.float32)).to(device)

    if hasattr(monitor, "decision_function"):
        origin = monitor.decision_function(np.zeros((1, width)))
        weights = at(monitor.decision_function(np.eye(width)) - origin)
        bias = at(origin)

        def of_state(state: Tensor) -> Tensor:
            return state @ weights + bias
    else:
        scaler, network = monitor[0], monitor[-1]
        centre, scale = at(scaler.mean_), at(scaler.scale_)
        (into, out), (of_hidden, of_output) = (
            [at(numbers) for numbers in part] for part in (network.coefs_, network.intercepts_)
        )

        def of_state(state: Tensor) -> Tensor:
            hidden = ((state - centre) / scale @ into + of_hidden).relu()
            return (hidden @ out + of_output)[:, 0]

    def read(states: Tensor, _: Tensor, ends: Tensor) -> Tensor:
        rows = torch.arange(len(states), device=states.device)
        return sign * of_state(states[rows, ends].float())

    return read


def reader_of_tokens(probe: PooledProbe, device: torch.device) -> HarmReader:
    """A pooled probe of all tokens (pipeline.monitors.pooled)."""
    value, query = (
        torch.from_numpy(vector.astype(np.float32)).to(device)
        for vector in (probe.value, probe.query)
    )

    def read(states: Tensor, mask: Tensor, _: Tensor) -> Tensor:
        score = states.float() @ value + probe.bias
        if probe.pooling == "max_pooled":
            return score.masked_fill(~mask, -torch.inf).amax(1)
        drawn = states.float() @ query if probe.pooling == "attention_pooled" else score
        weights = drawn.masked_fill(~mask, -torch.inf).softmax(1)
        return (weights * score.masked_fill(~mask, 0.0)).sum(1)

    return read
