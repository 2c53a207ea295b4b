"""A monitor fitted for one question at one position: its threshold, scores and measures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.base import ClassifierMixin

from pipeline.core.records import Score
from pipeline.core.representations import Vectors
from pipeline.evaluation.bootstrap import Counts
from pipeline.evaluation.linear_probe import linear_map
from pipeline.monitors.classifiers import fit
from pipeline.monitors.datasets import HARMFUL, SAFE, Texts, VariantTexts
from pipeline.monitors.metrics import (
    UNCHOSEN,
    Measures,
    choose_threshold,
    concept_measures,
    harm_measures,
    roc_at,
)
from pipeline.monitors.saved import SavedMonitor

FALSE_POSITIVE_RATES = np.linspace(0, 1, 101)  # false positive rates at which ROC curves are kept


@dataclass(frozen=True)
class Fitted:
    """A monitor that answers a question at a position; `threshold` is of `harm` alone."""

    question: str
    kind: str
    position: str
    monitor: ClassifierMixin
    threshold: float

    def harm(self, vectors: Vectors) -> Vectors:
        """The probability [N] of harm."""
        column = list(self.monitor.classes_).index(HARMFUL)
        found: Vectors = self.monitor.predict_proba(vectors)[:, column]
        return found

    def harm_along(self, streams: Sequence[Vectors]) -> list[Vectors]:
        """The probability of harm after every token of running answers."""
        if not streams:
            return []
        ends = np.cumsum([len(own) for own in streams])[:-1]
        return np.split(self.harm(np.concatenate(streams)), ends)

    def measure(self, texts: Texts, counts: Counts) -> Measures:
        """How well the question is answered, on resamples: counts [R, N] of texts [N]."""
        if self.question == "harm":
            harmful = texts.labels == HARMFUL
            return harm_measures(self.harm(texts.vectors), harmful, self.threshold, counts)
        probabilities = self.monitor.predict_proba(texts.vectors)
        return concept_measures(probabilities, self.monitor.classes_, texts.labels, counts)

    def scores(self, texts: Texts, group: str) -> list[Score]:
        """What it says of each text, which is one of a split or of a group of requests."""
        probabilities = self.monitor.predict_proba(texts.vectors)
        labels = self.monitor.classes_[probabilities.argmax(1)]
        if self.question == "harm":
            labels = np.where(self.harm(texts.vectors) >= self.threshold, HARMFUL, SAFE)
        rows = zip(texts.ids, texts.labels, labels, probabilities, strict=True)
        return [
            Score(self.question, self.kind, self.position, group, str(name), str(truth), str(label),
                  tuple(map(float, own)))
            for name, truth, label, own in rows
        ]  # fmt: skip

    def roc(self, texts: Texts) -> Vectors:
        """True positive rates at FALSE_POSITIVE_RATES: of harm, or of all concepts together, each
        against the rest (the micro average)."""
        if self.question == "harm":
            return roc_at(texts.labels == HARMFUL, self.harm(texts.vectors), FALSE_POSITIVE_RATES)
        truth = texts.labels[:, None] == self.monitor.classes_
        return roc_at(
            truth.ravel(), self.monitor.predict_proba(texts.vectors).ravel(), FALSE_POSITIVE_RATES
        )


def fit_at(
    data: VariantTexts, question: str, kind: str, monitor: ClassifierMixin, position: str = ""
) -> Fitted:
    """Fit a monitor on the training texts, and choose its threshold on the validation texts."""
    position = position or data.reading.position
    train = data.of(question, kind, "train", position)
    monitor = fit(monitor, train.vectors, train.labels)
    fitted = Fitted(question, kind, position, monitor, threshold=UNCHOSEN)
    known = data.of(question, kind, "validation", position)
    if question == "concept" or not len(known):
        return fitted
    threshold = choose_threshold(known.labels == HARMFUL, fitted.harm(known.vectors))
    return replace(fitted, threshold=threshold)


def to_take_home(data: VariantTexts, fitted: Fitted) -> SavedMonitor:
    """A fitted logistic monitor as two files can hold it, with the model that it belongs to."""
    centre, weights, bias = linear_map(fitted.monitor)
    is_harm = fitted.question == "harm"
    return SavedMonitor(
        kind=fitted.kind,
        variant=data.variant,
        classes=tuple(map(str, fitted.monitor.classes_)),
        harmless=(SAFE,) if is_harm else (),
        layer=data.reading.layer,
        position=fitted.position,
        threshold=fitted.threshold if is_harm else None,
        base=dict(data.base),
        centre=centre,
        weights=weights,
        bias=bias,
        signature=data.streams.signature,
    )
