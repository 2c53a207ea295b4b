"""One variant's monitors: fitted on training texts, scored on held-out ones, under shift, and on
answers as they are being given.

Thresholds are chosen on validation texts, never on what is scored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from zlib import crc32

import numpy as np

from pipeline.core.files import KeyPath, Tree, branch, whole
from pipeline.core.random_streams import RandomStream, rng_of
from pipeline.core.records import HEADLINE, Score
from pipeline.core.representations import Vectors
from pipeline.core.scored_sets import is_of_set, name_of
from pipeline.evaluation.against_base import metrics_tree, under
from pipeline.evaluation.bootstrap import Vector
from pipeline.evaluation.intervals import Statistic
from pipeline.evaluation.linear_probe import new_logistic
from pipeline.monitors.answer_states import GROWING
from pipeline.monitors.cascade import cascade_measures
from pipeline.monitors.classifiers import (
    MULTILAYER,
    NEURONS,
    Logit,
    fit,
    neurons_by_layer,
    new_neurons,
)
from pipeline.monitors.datasets import Texts, VariantTexts
from pipeline.monitors.fitted import FALSE_POSITIVE_RATES, Fitted, fit_at, to_take_home
from pipeline.monitors.metrics import highest, stream_measures
from pipeline.monitors.saved import SavedMonitor
from pipeline.monitors.thresholds import Thresholds

TRIALS = 10  # of each control: one shuffle may point anywhere


@dataclass
class MonitorResults:
    """What one variant's monitors showed: measures on resamples [R], thresholds and numbers of
    selected neurons by their path in the tree of metrics, scores of every text, ROC curves on
    `test` by kind (true positive rates at FALSE_POSITIVE_RATES), rows of the table of reliability,
    and monitors to take home by position."""

    measures: dict[KeyPath, Statistic] = field(default_factory=dict)
    thresholds: dict[KeyPath, Thresholds] = field(default_factory=dict)
    selected: dict[KeyPath, dict[str, int]] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)
    roc: dict[str, Vectors] = field(default_factory=dict)
    reliability: list[dict[str, str | float]] = field(default_factory=list)
    saved: dict[str, SavedMonitor] = field(default_factory=dict)


def evaluate_monitors(data: VariantTexts) -> MonitorResults:
    """Fit and score everything that this variant's texts allow to be asked."""
    found = MonitorResults()
    for question in data.questions:
        _held_out(data, question, found)
    _controls(data, found)
    if "harm" in data.questions:
        _shift(data, found)
        _streaming(data, found)
        found.measures |= cascade_measures(data)
    if not found.saved:  # there is no harm to find, or it is read neither before nor along answers
        question = data.questions[-1]
        for position in data.stored.positions:
            fitted = fit_at(data, question, HEADLINE, new_logistic(), position)
            found.saved[position] = to_take_home(data, fitted)
    return found


def monitor_metrics(found: MonitorResults, base: MonitorResults | None) -> Tree:
    """Everything measured, with intervals, and differences from the untouched model, but for the
    controls, where there is nothing to find."""
    before = base.measures if base else None
    tree = metrics_tree(found.measures, before, has_difference=lambda path: path[0] != "control")
    for path, thresholds in found.thresholds.items():
        branch(tree, path).update(thresholds.as_tree())
    for path, selected in found.selected.items():
        branch(tree, path).update(selected)
    return tree


def write_tables(folder: Path, name: str, found: MonitorResults) -> None:
    """ROC curves (roc/NAME.csv): a column of true positive rates for each kind of monitor, a row
    for each of FALSE_POSITIVE_RATES. Reliability (reliability/NAME.csv): a row for each bin of
    probabilities that holds texts (pipeline.evaluation.calibration)."""
    import pandas as pd  # it takes a second to import

    tables = {
        "roc": pd.DataFrame({"false_positive_rate": FALSE_POSITIVE_RATES, **found.roc}),
        "reliability": pd.DataFrame(found.reliability),
    }
    for kind, table in tables.items():
        with whole(folder / kind / f"{name}.csv") as draft:
            table.to_csv(draft, index=False, float_format="%.6g", lineterminator="\n")


def _held_out(data: VariantTexts, question: str, found: MonitorResults) -> None:
    """Every monitor on every held-out split, at the layer and position that are read."""
    monitors = {**data.new_monitors(), MULTILAYER: new_logistic()}
    if question == "harm":
        monitors |= {NEURONS: new_neurons(data.seed), **{kind: Logit() for kind in data.pooled}}
    for kind, candidates in monitors.items():
        fitted, groups = fit_at(data, question, kind, candidates), data.held_out(question, kind)
        if kind == NEURONS:
            selected = neurons_by_layer(fitted.monitor, data.stored.layers)
            found.selected[question, kind] = selected
        _score(data, question, fitted, groups, found)
        if "test" in groups:
            found.roc[kind] = fitted.roc(groups["test"])


def _score(
    data: VariantTexts, asked: str, fitted: Fitted, groups: Mapping[str, Texts],
    found: MonitorResults,
) -> None:  # fmt: skip
    """Everything that a monitor shows of groups of texts, under what they are asked."""
    if fitted.question == "harm":
        found.thresholds[asked, fitted.kind] = fitted.thresholds
    for group, shown in groups.items():
        counts, path = data.counts(shown.ids), (asked, fitted.kind, group)
        found.measures |= under(path, fitted.measure(shown, counts))
        found.scores += fitted.scores(shown, group)
        if fitted.question == data.questions[-1]:
            named = dict(zip(("question", "monitor", "group"), path, strict=True))
            found.reliability += [named | row for row in fitted.reliability(shown, counts)]


def _controls(data: VariantTexts, found: MonitorResults) -> None:
    """The headline monitor where there is nothing to find: fitted on shuffled labels, and fitted
    and scored on random vectors; the mean over TRIALS, with the interval of a single one."""
    rng = rng_of(RandomStream.MONITOR_CONTROLS, data.seed)
    question, position = data.questions[-1], data.reading.position
    train = data.of(question, HEADLINE, "train")
    held_out = data.held_out(question, HEADLINE)
    # Their own, so that other corpora leave the controls of this one, and of each other, alone.
    rngs = {
        split: rng_of(RandomStream.SHIFTED_CONTROLS, data.seed, crc32(name_of(split).encode()))
        for split in held_out
        if is_of_set(split)
    }
    counts = {split: data.counts(shown.ids) for split, shown in held_out.items()}
    tried: dict[KeyPath, list[Vector]] = {}
    for _ in range(TRIALS):
        noise = {}
        for split, real in {"train": train, **held_out}.items():
            drawn = rngs.get(split, rng).normal(size=real.vectors.shape)
            noise[split] = replace(real, vectors=drawn)
        controls = {
            "shuffled_labels": (train.vectors, rng.permutation(train.labels), held_out),
            "random_vectors": (noise["train"].vectors, train.labels, noise),
        }
        for name, (vectors, labels, shown) in controls.items():
            monitor = fit(new_logistic(), vectors, labels)
            fitted = Fitted(question, HEADLINE, position, monitor)
            for split in held_out:
                measures = fitted.measure(shown[split], counts[split])
                auroc = measures["auroc"].values
                tried.setdefault(("control", name, split, "auroc"), []).append(auroc)
    for path, values in tried.items():
        resampled = np.concatenate([own[1:] for own in values])
        mean = np.mean([own[0] for own in values])
        found.measures[path] = Statistic(np.append(mean, resampled))


def _shift(data: VariantTexts, found: MonitorResults) -> None:
    """Every monitor of one layer, fitted at the prompt's end of training texts, on requests: other
    prompts than those of any example, plain ones and ones framed as a game or fiction. Held-out
    examples at the same position stand beside them."""
    if "prompt_end" not in data.stored.positions:
        return
    examples = data.held_out("harm", HEADLINE, "prompt_end")
    groups = {f"examples_{split}": shown for split, shown in examples.items()}
    groups |= dict(data.asked())
    for kind, monitor in data.new_monitors().items():
        fitted = fit_at(data, "harm", kind, monitor, "prompt_end")
        _score(data, "shift", fitted, groups, found)
        if kind == HEADLINE:
            found.saved["prompt_end"] = to_take_home(data, fitted)


def _streaming(data: VariantTexts, found: MonitorResults) -> None:
    """The headline monitor after every token of answers to requests, fitted at the position that
    moves while an answer grows. Its thresholds are chosen on the highest scores of validation
    texts, since a running answer has as many chances of a false alarm as it has tokens."""
    if GROWING not in data.stored.positions:
        return
    streams, requests = data.streams, data.requests
    concepts = dict(zip(data.stored.ids, data.stored.concepts, strict=True))
    for name in requests:  # a corpus' own test prompts may be what is asked
        concepts.pop(name, None)
    validation = [number for number, name in enumerate(streams.ids) if name in concepts]
    known = np.array([concepts[streams.ids[n]] not in data.safe for n in validation], bool)
    fitted = fit_at(data, "harm", HEADLINE, new_logistic(), GROWING)
    peaks = highest(fitted.harm_along(streams.at(GROWING, validation)))
    fitted = fitted.with_thresholds(known, peaks, data.reading.false_alarms)
    found.saved[GROWING] = to_take_home(data, fitted)
    answers = [number for number, name in enumerate(streams.ids) if name in requests]
    if answers:
        names, request_of = np.unique([streams.ids[n] for n in answers], return_inverse=True)
        harmful = np.array([requests[streams.ids[n]].harmful for n in answers], bool)
        # Answers to one request are drawn together: requests are what is resampled.
        counts = data.counts(names)[:, request_of]
        scores = fitted.harm_along(streams.at(GROWING, answers))
        found.thresholds["streaming", GROWING] = fitted.thresholds
        measures = stream_measures(scores, harmful, fitted.thresholds, counts)
        found.measures |= under(("streaming", GROWING), measures)
