"""States in words by a model that was never taught to read them, for benchmarks/real_models.py.

Questions are closed: "It is about CONCEPT." is scored for every concept, less its mean over
validation texts, and the likeliest concept is the answer. What is chosen, is so on validation.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from benchmarks.real_measures import Fold, bits
from benchmarks.real_tuning import Bench
from pipeline.core.concepts import balanced, spoken
from pipeline.core.records import CONTROLS, Example
from pipeline.core.sections import Asking
from pipeline.models.encoding import Encoder
from pipeline.models.hooks import hidden_states
from pipeline.models.loading import load_variant
from pipeline.selfie.affine_map import fit_affine
from pipeline.selfie.closed_answers import concept_log_likelihoods
from pipeline.selfie.controls import control_vectors, logit_lens
from pipeline.selfie.judge_model import log_likelihoods

SOURCES, BLOCKS = (10, 15, 20, 25), (0, 2, 5)
MODES: tuple[tuple[Any, float], ...] = (
    ("replace", 1.0),
    ("norm_matched", 1.0),
    ("norm_matched", 4.0),
)
VALIDATION, TEST, TRAIN, AT_ONCE = 60, 120, 240, 48


@dataclass(frozen=True)
class Texts:
    """The texts whose states are read, of each split alike many of every concept."""

    validation: list[Example]
    test: list[Example]
    train: list[Example]

    @property
    def every(self) -> list[Example]:
        return [*self.validation, *self.test, *self.train]


@dataclass(frozen=True)
class Reader:
    """A model that is asked about states, and how: [texts, concepts] of log-probabilities."""

    model: PreTrainedModel
    encoder: Encoder
    concepts: Sequence[str]
    asking: Asking

    def scores(self, vectors: Tensor | None, asking: Asking) -> Tensor:
        """Of every concept's closed answer with vectors [N, D] injected; None: nothing is, once."""
        return concept_log_likelihoods(
            self.model, self.encoder, vectors, self.concepts, asking, AT_ONCE
        )

    def names(self, block: int) -> Tensor:
        """What the concepts' names are at the input of a block, within the question: [C, D]."""
        before, after = self.asking.question.split("{message}")
        found = []
        for name in map(spoken, self.concepts):
            (turn,) = self.encoder.turns([(before + name + after, "")])
            start = turn.texts[0][0] + len(before)
            stop = start + len(name)
            its = [i for i, (a, b) in enumerate(turn.offsets) if a < stop and b > start]
            states = hidden_states(self.model, torch.tensor([turn.ids]), None, [block])[block]
            found.append(states[0, its].mean(0).float())
        return torch.stack(found)


def right(scores: Tensor, validation: Tensor, reader: Reader, labels: Sequence[str]) -> str:
    """Which texts are read rightly, each concept's score less its mean over validation texts."""
    chosen = (scores - validation.mean(0)).argmax(1).tolist()
    return bits([reader.concepts[c] == label for c, label in zip(chosen, labels, strict=True)])


def share(found: str) -> float:
    return found.count("1") / len(found)


def read_states(bench: Bench, fold: Fold, adapter: str, position: str) -> dict[str, Any]:
    """The untouched model on its own states or, with an adapter's name, the tuned model on its own,
    and each on the other's. By who reads what: which test texts are right, by control."""
    concepts = sorted(set(fold.labels))
    texts = Texts(*(
        balanced([e for e in fold.examples if e.split == split], count)
        for split, count in (("validation", VALIDATION), ("test", TEST), ("train", TRAIN))
    ))  # fmt: skip
    model, encoder = bench.load()
    asking = bench.params.asking
    base = Reader(model, encoder, concepts, asking)
    states = {"base": by_layer(bench, base, texts, position)}
    if not adapter:
        return {"selfie": of_reader(base, "base", states, texts)}
    tuned_model, _ = load_variant(bench.folder, bench.adapter(adapter), bench.device)
    tuned = Reader(tuned_model, encoder, concepts, asking)
    states["tuned"] = by_layer(bench, tuned, texts, position)
    found = of_reader(tuned, "tuned", states, texts) | of_reader(base, "base", states, texts)
    return {"selfie": found}


def by_layer(bench: Bench, reader: Reader, texts: Texts, position: str) -> dict[int, Tensor]:
    """The states of all texts, by source layer: [N, D]."""
    found = bench.states(reader.model, reader.encoder, texts.every)
    return {layer: torch.tensor(found.at(layer, position)).float() for layer in SOURCES}


def of_reader(
    reader: Reader, name: str, states: Mapping[str, Mapping[int, Tensor]], texts: Texts
) -> dict[str, Any]:
    """A reader on its own states with all controls, by the settings that validation texts choose;
    and on the other model's states by the same settings."""
    own, known = states[name], [e.concept for e in texts.validation]
    grid: dict[str, float] = {}
    best: tuple[float, int, Asking] = (-1.0, 0, reader.asking)
    for layer, asking in options(reader.asking):
        scores = reader.scores(own[layer][: len(known)], asking)
        accuracy = share(right(scores, scores, reader, known))
        said = f"{layer}_{asking.inject_layer}_{asking.mode}_{asking.scale:g}"
        grid[said] = accuracy
        best = max(best, (accuracy, layer, asking), key=lambda option: option[0])
    accuracy, layer, asking = best
    found: dict[str, Any] = {
        "chosen": {
            "validation": accuracy, "layer": layer, "block": asking.inject_layer,
            "mode": asking.mode, "scale": asking.scale,
        },
        "grid": grid,
        **{control: right_of(reader, own[layer], control, asking, texts) for control in ALL},
        **baselines(reader, own[layer], layer, texts),
        **mapped(reader, own[layer], asking, texts),
    }  # fmt: skip
    tree = {f"{name}<-{name}": found}
    for other in states.keys() - {name}:
        crossed = right_of(reader, states[other][layer], "state", asking, texts)
        tree[f"{name}<-{other}"] = {"state": crossed}
    return tree


ALL = ("state", *CONTROLS)


def options(asking: Asking) -> Iterator[tuple[int, Asking]]:
    for layer in SOURCES:
        for block in BLOCKS:
            for mode, scale in MODES:
                update = {"inject_layer": block, "mode": mode, "scale": scale}
                yield layer, asking.model_copy(update=update)


def parted(states: Tensor, texts: Texts) -> tuple[Tensor, Tensor, Tensor]:
    """States of validation, of test and of training texts."""
    sizes = [len(texts.validation), len(texts.test), len(texts.train)]
    validation, test, train = states.split(sizes)
    return validation, test, train


def right_of(reader: Reader, states: Tensor, control: str, asking: Asking, texts: Texts) -> str:
    labels = [example.concept for example in texts.test]
    validation, test, _ = parted(states, texts)
    before = reader.scores(validation, asking)
    if control == "none":
        return right(reader.scores(None, asking).expand(len(labels), -1), before, reader, labels)
    vectors = control_vectors(test, control, torch.Generator().manual_seed(0))
    scores = reader.scores(vectors, asking)
    return right(scores.expand(len(labels), -1), before, reader, labels)


def baselines(reader: Reader, states: Tensor, layer: int, texts: Texts) -> dict[str, str]:
    labels = [example.concept for example in texts.test]
    answers = [
        reader.asking.answer.replace("{concept}", spoken(concept)) for concept in reader.concepts
    ]
    by_split = [
        log_likelihoods(
            reader.model, reader.encoder, [e.words for e in own], answers, reader.asking, AT_ONCE
        )
        for own in (texts.validation, texts.test)
    ]
    lens = logit_lens(
        reader.model, reader.encoder, parted(states, texts)[1], layer, reader.concepts,
        reader.asking,
    )  # fmt: skip
    return {
        "input_only": right(by_split[1], by_split[0], reader, labels),
        "logit_lens": bits([said == spoken(c) for said, c in zip(lens, labels, strict=True)]),
    }


def mapped(reader: Reader, states: Tensor, asking: Asking, texts: Texts) -> dict[str, str]:
    """States through an affine map to their concepts' names, fitted on training texts; and through
    one that was fitted on permuted concepts."""
    asking = asking.model_copy(update={"mode": "replace", "scale": 1.0})
    labels = [example.concept for example in texts.test]
    validation, test, train = parted(states, texts)
    names = reader.names(asking.inject_layer)
    known = np.array([reader.concepts.index(example.concept) for example in texts.train])
    permuted = np.random.default_rng(0).permutation(known)
    found = {}
    for name, concepts in (("affine", known), ("affine_permuted", permuted)):
        affine = fit_affine(train, names[concepts])
        before, after = (reader.scores(affine(x), asking) for x in (validation, test))
        found[name] = right(after, before, reader, labels)
    return found
