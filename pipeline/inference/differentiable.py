"""Monitors of harm as functions in torch, through which gradients flow: what an attacker who knows
a monitor would build of it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.files import remove
from pipeline.core.records import Example
from pipeline.core.representations import Vectors
from pipeline.core.scored_sets import seen_at
from pipeline.core.sections import AttackedMonitor, Extraction
from pipeline.evaluation.linear_probe import new_logistic
from pipeline.inference.extraction import read_batch
from pipeline.inference.pooled_scores import stored_states
from pipeline.models.encoding import Encoder, token_batches
from pipeline.models.hooks import config_of
from pipeline.models.reader_check import reader_for
from pipeline.monitors.classifiers import (
    COSINE_TEMPERATURE,
    MULTILAYER,
    NEURONS,
    Prototype,
    fit_likeliest,
    new_monitors,
    new_neurons,
)
from pipeline.monitors.datasets import HARMFUL, SAFE
from pipeline.monitors.pooled import POOLINGS, PooledProbe, fit_pooled


class HarmReader(NamedTuple):
    """The layers that a monitor reads, and its logits of harm [B] of prompts: of their states there
    [B, T, D] by layer, which tokens are real, bool [B, T], and the index of each one's last token
    [B]."""

    layers: tuple[int, ...]
    logits: Callable[[Mapping[int, Tensor], Tensor, Tensor], Tensor]


def fit_readers(
    model: PreTrainedModel,
    encoder: Encoder,
    learned: Sequence[Example],
    known: Sequence[Example],
    is_harmful: Callable[[Example], bool],
    kinds: Sequence[AttackedMonitor],
    layer: int,
    extraction: Extraction,
    seed: int,
    file: Path,
) -> dict[str, HarmReader]:
    """Monitors of the prompts of training texts, by kind. Where a step of the fit or a candidate is
    chosen, the validation texts that are `known` choose it. file: where tokens' states lie
    meanwhile.

    Kinds that read one state read that at the prompt's end, as the `monitors` stage fits them to
    score requests, at `layer` or at all of `extraction.layers`; pooled ones read all tokens of the
    prompt.
    """
    stored = seen_at("prompt_end", (*learned, *known))
    harmful = np.array([is_harmful(example) for example in stored], bool)
    first, last = range(len(learned)), range(len(learned), len(stored))
    try:
        states = stored_states(model, encoder, stored, layer, extraction.tokens_per_batch, file)
        own = states.last_of(range(len(stored))).astype(np.float64)
        labels = np.where(harmful, HARMFUL, SAFE)
        found: dict[str, HarmReader] = {}
        for kind in kinds:
            if kind in POOLINGS:
                probe = fit_pooled(kind, states, harmful, first, last)
                found[kind] = reader_of_tokens(probe, layer, model.device)
                continue
            layers: tuple[int, ...] = (layer,)
            ends = own
            if kind in (MULTILAYER, NEURONS):
                layers, ends = extraction.layers, states_at_ends(model, encoder, stored, extraction)
            monitor = fit_likeliest(
                candidates_for(kind, seed), ends[first], labels[first], ends[last], labels[last]
            )
            found[kind] = reader_of_end(monitor, layers, ends.shape[1], model.device)
        return found
    finally:
        remove(file)


def candidates_for(kind: AttackedMonitor, seed: int) -> Sequence[ClassifierMixin]:
    """What is fitted of a kind that reads the prompt's end, as the stage `monitors` has it."""
    if kind == NEURONS:
        return new_neurons(seed)
    return [new_logistic() if kind == MULTILAYER else new_monitors(neighbours=1, seed=seed)[kind]]


def states_at_ends(
    model: PreTrainedModel, encoder: Encoder, examples: Sequence[Example], extraction: Extraction
) -> Vectors:
    """The states of texts at their prompts' ends, all extracted layers end to end:
    [N, layers x D]."""
    at_end = extraction.model_copy(update={"positions": ("prompt_end",)})
    texts = encoder.texts([(e.prompt, e.response) for e in examples])
    read = reader_for(model, encoder.longest)
    width = config_of(model).hidden_size * len(extraction.layers)
    found = np.zeros((len(texts), width))
    for chosen in token_batches(texts, extraction.tokens_per_batch):
        (layers,) = read_batch(model, read, [texts[i] for i in chosen], at_end).swapaxes(0, 1)
        found[chosen] = np.concatenate(list(layers), axis=1)
    return found


def reader_of_end(
    monitor: ClassifierMixin, layers: tuple[int, ...], width: int, device: torch.device
) -> HarmReader:
    """A fitted monitor of the last token's states, `width` numbers of all its layers: an affine
    map, an angle to either class, or an MLP of one hidden layer (ReLU) on standardised numbers."""
    sign = 1.0 if monitor.classes_[1] == HARMFUL else -1.0

    def at(numbers: Any) -> Tensor:
        return torch.from_numpy(np.asarray(numbers, np.float32)).to(device)

    if isinstance(monitor, Prototype):
        centre = at(monitor.centre_)
        apart = at((monitor.prototypes_[1] - monitor.prototypes_[0]) / COSINE_TEMPERATURE)

        def of_state(state: Tensor) -> Tensor:
            return torch.nn.functional.normalize(state - centre, dim=-1) @ apart

    elif hasattr(monitor, "decision_function"):
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

    def read(states: Mapping[int, Tensor], _: Tensor, ends: Tensor) -> Tensor:
        rows = torch.arange(len(ends), device=device)
        return sign * of_state(torch.cat([states[one][rows, ends].float() for one in layers], -1))

    return HarmReader(layers, read)


def reader_of_tokens(probe: PooledProbe, layer: int, device: torch.device) -> HarmReader:
    """A pooled probe of all tokens (pipeline.monitors.pooled)."""
    value, query = (
        torch.from_numpy(vector.astype(np.float32)).to(device)
        for vector in (probe.value, probe.query)
    )

    def read(states: Mapping[int, Tensor], mask: Tensor, _: Tensor) -> Tensor:
        own = states[layer].float()
        score = own @ value + probe.bias
        if probe.pooling == "max_pooled":
            return score.masked_fill(~mask, -torch.inf).amax(1)
        drawn = own @ query if probe.pooling == "attention_pooled" else score
        weights = drawn.masked_fill(~mask, -torch.inf).softmax(1)
        return (weights * score.masked_fill(~mask, 0.0)).sum(1)

    return HarmReader((layer,), read)
