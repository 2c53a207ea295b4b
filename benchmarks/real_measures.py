"""What is measured of one model on one fold of texts: probes chosen on validation, and geometry.

States are [layers, positions, texts, width]. What is kept of a test text is whether it was right,
its probability of harm and its silhouette: never a word of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler, normalize

from pipeline.core.records import Example
from pipeline.core.representations import Labels, centre_and_scale
from pipeline.core.text_identity import normalised
from pipeline.corpora.rows import digest
from pipeline.evaluation.coding_rates import coding_rates_of_labellings
from pipeline.evaluation.separation import (
    cosine_gaps,
    nearest_centroid,
    nearest_texts,
    silhouettes,
)
from pipeline.evaluation.transport import transport

STRENGTHS = (0.002, 0.05, 1.0)  # inverse strengths of the probes' regularisation
WORD_STRENGTHS = (1.0, 10.0, 100.0)
NEIGHBOURS = 9
SAMPLES, DRAWS, SEED = 50, 2, 0  # of a concept's texts that are moved onto each other
BEST = 5  # options whose mean validation accuracy a setting is chosen by


@dataclass(frozen=True)
class States:
    """Hidden states of texts, with the layers and the positions that they are of."""

    values: NDArray[np.float32]
    layers: tuple[int, ...]
    positions: tuple[str, ...]

    def at(self, layer: int, position: str) -> NDArray[np.float64]:
        """[N, D]; at `both`, all positions end to end."""
        own = self.values[self.layers.index(layer)]
        if position == "both":
            own = np.concatenate(list(own), axis=1)
        else:
            own = own[self.positions.index(position)]
        return np.asarray(own, dtype=np.float64)

    def options(self) -> Iterator[tuple[int, str]]:
        for layer in self.layers:
            for position in (*self.positions, "both"):
                yield layer, position


@dataclass(frozen=True)
class Fold:
    """Which texts are which, and their concepts [N]."""

    examples: Sequence[Example]
    safe: tuple[str, ...]

    @cached_property
    def labels(self) -> Labels:
        return np.array([example.concept for example in self.examples])

    @cached_property
    def splits(self) -> Labels:
        return np.array([example.split for example in self.examples])

    @property
    def held_out(self) -> list[Example]:
        return [example for example in self.examples if example.split == "test"]

    def of(self, split: str) -> NDArray[np.bool_]:
        chosen: NDArray[np.bool_] = self.splits == split
        return chosen


def known_of(fold: Fold) -> dict[str, Any]:
    """What is true of the test texts, as far as measures need it."""
    test = fold.of("test")
    return {"harmful": bits(~np.isin(fold.labels[test], fold.safe))} if fold.safe else {}


def half_of(fold: Fold) -> NDArray[np.bool_]:
    """Training texts of a half of the prompts, by their digests [N]."""
    even = [int(digest(normalised(e.prompt)), 16) % 2 == 0 for e in fold.examples]
    chosen: NDArray[np.bool_] = fold.of("train") & np.array(even)
    return chosen


def unseen_of(fold: Fold) -> NDArray[np.bool_]:
    """Training texts of the other half [N]."""
    other: NDArray[np.bool_] = fold.of("train") & ~half_of(fold)
    return other


def best_probe(
    states: States, fold: Fold, fitted: NDArray[np.bool_] | None = None
) -> dict[str, Any]:
    """The probe of the layer, the position and the strength that validation texts choose: which
    test texts, if there are any, it gets right, and their probability of harm.

    fitted: the texts that probes are fitted on [N]; training texts where none are given.
    """
    train, validation, test = (fold.of(split) for split in ("train", "validation", "test"))
    if fitted is not None:
        train = fitted
    found: dict[tuple[float, int, str, float], Pipeline] = {}
    for layer, position in states.options():
        vectors = states.at(layer, position)
        for strength in STRENGTHS:
            probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500))
            probe.fit(vectors[train], fold.labels[train])
            accuracy = float(probe.score(vectors[validation], fold.labels[validation]))
            found[accuracy, layer, position, strength] = probe
    accuracies = sorted((key[0] for key in found), reverse=True)
    # Of options that are equally good, the first: the lower layer and the stronger regularisation.
    accuracy, layer, position, strength = max(found, key=lambda key: key[0])
    probe = found[accuracy, layer, position, strength]
    return {
        "layer": layer,
        "position": position,
        "strength": strength,
        "validation": accuracy,
        "best_validation": float(np.mean(accuracies[:BEST])),
        **(_answers(probe, states.at(layer, position)[test], fold, test) if test.any() else {}),
        "by_option": _by_option(found),
    }


def _by_option(found: Mapping[tuple[float, int, str, float], Pipeline]) -> dict[str, float]:
    """The best validation accuracy of every layer and position."""
    best: dict[str, float] = {}
    for accuracy, layer, position, _ in found:
        name = f"{position}_{layer}"
        best[name] = max(accuracy, best.get(name, 0.0))
    return best


def word_probe(fold: Fold) -> dict[str, Any]:
    """The same of words alone: TF-IDF of one and two words."""
    words = np.array([example.words for example in fold.examples], dtype=object)
    train, validation, test = (fold.of(split) for split in ("train", "validation", "test"))
    found = []
    for strength in WORD_STRENGTHS:
        probe = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=strength, max_iter=1000)
        )
        probe.fit(words[train], fold.labels[train])
        found.append((float(probe.score(words[validation], fold.labels[validation])), probe))
    accuracy, probe = max(found, key=lambda pair: pair[0])
    return {"validation": accuracy, **_answers(probe, words[test], fold, test)}


def _answers(probe: Pipeline, shown: Any, fold: Fold, test: NDArray[np.bool_]) -> dict[str, Any]:
    answers: dict[str, Any] = {"correct": bits(probe.predict(shown) == fold.labels[test])}
    if fold.safe:
        safe = np.isin(probe.classes_, fold.safe)
        harm = 1 - probe.predict_proba(shown)[:, safe].sum(1)
        answers["harm"] = [round(float(score), 4) for score in harm]
    return answers


def geometry(states: States, fold: Fold, layer: int) -> dict[str, Any]:
    """How test texts lie at a layer, at every position, centred by the training texts' mean."""
    train, test = fold.of("train"), fold.of("test")
    known, labels = fold.labels[train], fold.labels[test]
    found: dict[str, Any] = {}
    for position in states.positions:
        vectors = states.at(layer, position)
        centre, _ = centre_and_scale(vectors[train])
        seen, unit = normalize(vectors[train] - centre), normalize(vectors[test] - centre)
        similarity, labelling = unit @ unit.T, labels[None]
        uncentred = normalize(vectors[test])
        found[position] = {
            "raw_cosine": float(np.mean(uncentred @ uncentred.T)),
            "centroid": bits(nearest_centroid(seen, known, unit) == labels),
            "knn": bits(nearest_texts(seen, known, unit, NEIGHBOURS) == labels),
            "silhouette": [round(float(s), 4) for s in silhouettes(similarity, labelling)[0]],
            "cosine_gap": float(cosine_gaps(similarity, labelling)[0]),
            "coding_rate_gap": float(coding_rates_of_labellings(unit, labelling).gap[0]),
        }
    return found


def transported(states: States, fold: Fold) -> dict[str, dict[str, float]]:
    """By position and layer: the normalised margin of training texts, and the accuracy that a probe
    loses from them to test texts. The theory expects the larger one with the smaller other."""
    train, test = fold.of("train"), fold.of("test")
    once = {name: np.ones((1, int(own.sum()))) for name, own in (("train", train), ("test", test))}
    found = {}
    for layer, position in product(states.layers, states.positions):
        vectors = states.at(layer, position)
        seen, held_out = ((vectors[own], fold.labels[own]) for own in (train, test))
        measured = transport(seen, {"test": held_out}, once, SAMPLES, DRAWS, SEED)
        own = {"margin": measured["kv_margin"].value, "gap": measured["gap_test"].value}
        found[f"{position}_{layer}"] = own
    return found


def bits(right: Any) -> str:
    return "".join("1" if one else "0" for one in right)
