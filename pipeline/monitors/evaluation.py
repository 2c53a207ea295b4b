"""One variant's monitors: fitted on training texts, scored on held-out ones, under shift, and on
answers as they are being given.

Thresholds are chosen on validation texts, never on what is scored.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipeline.core.files import Tree, branch
from pipeline.core.random_streams import RandomStream, rng_of
from pipeline.core.records import HEADLINE, Score
from pipeline.core.representations import Vectors
from pipeline.evaluation.bootstrap import put
from pipeline.evaluation.linear_probe import new_logistic
from pipeline.monitors.answer_states import GROWING
from pipeline.monitors.classifiers import MULTILAYER, fit
from pipeline.monitors.datasets import Material
from pipeline.monitors.fitted import Fitted, fit_at, to_take_home
from pipeline.monitors.metrics import UNCHOSEN, Measures, choose_threshold, highest, stream_measures
from pipeline.monitors.saved import SavedMonitor

TRIALS = 10  # of each control: one shuffle may point anywhere
UNDER_SHIFT = (
    "auroc",
    "fpr95",
    "tpr",
    "fpr",
)  # what a shift may change: the order, and the threshold
Place = tuple[str, ...]


@dataclass
class Findings:
    """What one variant's monitors showed: measures on resamples and thresholds by their place in
    the tree of metrics, scores of every text, ROC curves on `test`, monitors to take home."""

    measures: dict[Place, Measures] = field(default_factory=dict)
    thresholds: dict[Place, float] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)
    roc: dict[str, Vectors] = field(default_factory=dict)
    saved: dict[str, SavedMonitor] = field(default_factory=dict)


def examine(material: Material) -> Findings:
    found = Findings()
    for question in material.questions:
        _held_out(material, question, found)
    _controls(material, found)
    if "harm" in material.questions:
        _shift(material, found)
        _streaming(material, found)
    else:
        for position in material.stored.positions:
            fitted = fit_at(material, "concept", HEADLINE, new_logistic(), position)
            found.saved[position] = to_take_home(material, fitted)
    return found


def metrics_of(found: Findings, untouched: Findings | None) -> Tree:
    """Everything measured, with intervals, and what changed against the untouched model: the
    difference on the same resamples, under `difference`.

    A measure that is undefined on the texts as they are is left out.
    """
    tree: dict[str, Any] = {}
    for place, measures in found.measures.items():
        for name, values in measures.items():
            put(tree, (*place, name), values)
            if untouched is not None and place[0] != "control":
                moved = values - untouched.measures[place][name]
                put(tree, ("difference", *place, name), moved)
    for place, threshold in found.thresholds.items():
        branch(tree, place)["threshold"] = threshold
    return tree


def _held_out(material: Material, question: str, found: Findings) -> None:
    """Every monitor on every held-out split, at the layer and position that are read."""
    monitors = {**material.new_monitors(), MULTILAYER: new_logistic()}
    for kind, monitor in monitors.items():
        fitted = fit_at(material, question, kind, monitor)
        if question == "harm":
            found.thresholds[question, kind] = fitted.threshold
        for split, texts in material.held_out(question, kind).items():
            found.measures[question, kind, split] = fitted.measure(
                texts, material.counts(texts.ids)
            )
            found.scores += fitted.scores(texts, split)
            if split == "test":
                found.roc[kind] = fitted.roc(texts)


def _controls(material: Material, found: Findings) -> None:
    """The headline monitor where there is nothing to find: fitted on shuffled labels, and fitted
    and scored on random vectors; the mean over TRIALS, with the interval of a single one."""
    rng = rng_of(RandomStream.MONITOR_CONTROLS, material.seed)
    # Its own, so that another corpus leaves the controls of this one as they are.
    of_shifted = rng_of(RandomStream.SHIFTED_CONTROLS, material.seed)
    question, position = material.questions[-1], material.reading.position
    train = material.of(question, HEADLINE, "train")
    held_out = material.held_out(question, HEADLINE)
    counts = {split: material.counts(texts.ids) for split, texts in held_out.items()}
    tried: dict[Place, list[Vectors]] = {}
    for _ in range(TRIALS):
        noise = {}
        for split, texts in {"train": train, **held_out}.items():
            drawn = of_shifted if split == "shifted" else rng
            noise[split] = replace(texts, vectors=drawn.normal(size=texts.vectors.shape))
        controls = {
            "shuffled_labels": (train.vectors, rng.permutation(train.labels), held_out),
            "random_vectors": (noise["train"].vectors, train.labels, noise),
        }
        for name, (vectors, labels, shown) in controls.items():
            monitor = fit(new_logistic(), vectors, labels)
            fitted = Fitted(question, HEADLINE, position, monitor, UNCHOSEN)
            for split in held_out:
                measures = fitted.measure(shown[split], counts[split])
                tried.setdefault(("control", name, split), []).append(measures["auroc"])
    for place, values in tried.items():
        resampled = np.concatenate([own[1:] for own in values])
        found.measures[place] = {"auroc": np.append(np.mean([own[0] for own in values]), resampled)}


def _shift(material: Material, found: Findings) -> None:
    """Every monitor of one layer, fitted at the prompt's end of training texts, on requests: other
    prompts than those of any example, plain ones and ones framed as a game or fiction. Held-out
    examples at the same position stand beside them."""
    if "prompt_end" not in material.stored.positions:
        return
    examples = material.held_out("harm", HEADLINE, "prompt_end")
    groups = {f"examples_{split}": texts for split, texts in examples.items()}
    groups |= dict(material.asked())
    for kind, monitor in material.new_monitors().items():
        fitted = fit_at(material, "harm", kind, monitor, "prompt_end")
        found.thresholds["shift", kind] = fitted.threshold
        for group, texts in groups.items():
            measures = fitted.measure(texts, material.counts(texts.ids))
            found.measures["shift", kind, group] = {name: measures[name] for name in UNDER_SHIFT}
            found.scores += fitted.scores(texts, group)
        if kind == HEADLINE:
            found.saved["prompt_end"] = to_take_home(material, fitted)


def _streaming(material: Material, found: Findings) -> None:
    """The headline monitor after every token of answers to requests, fitted at the position that
    moves while an answer grows. Its threshold is chosen on the highest scores of validation texts,
    since a running answer has as many chances of a false alarm as it has tokens."""
    streams, requests = material.streams, material.requests
    answers = [place for place, name in enumerate(streams.ids) if name in requests]
    concepts = dict(zip(material.stored.ids, material.stored.concepts, strict=True))
    for name in requests:  # a corpus' own test prompts may be what is asked
        concepts.pop(name, None)
    others = [place for place, name in enumerate(streams.ids) if name in concepts]
    known = np.array([concepts[streams.ids[at]] not in material.safe for at in others], bool)
    harmful = np.array([requests[streams.ids[place]].harmful for place in answers], bool)
    names, request_of = np.unique([streams.ids[place] for place in answers], return_inverse=True)
    if GROWING not in material.stored.positions:
        return
    fitted = fit_at(material, "harm", HEADLINE, new_logistic(), GROWING)
    told = highest(fitted.harm_along(streams.at(GROWING, others)))
    fitted = replace(fitted, threshold=choose_threshold(known, told))
    found.saved[GROWING] = to_take_home(material, fitted)
    if answers:
        # Answers to one request are drawn together: requests are what is resampled.
        counts = material.counts(names)[:, request_of]
        scores = fitted.harm_along(streams.at(GROWING, answers))
        found.thresholds["streaming", GROWING] = fitted.threshold
        found.measures["streaming", GROWING] = stream_measures(
            scores, harmful, fitted.threshold, counts
        )
