"""A monitor fitted for one question at one position: its thresholds, scores and measures."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from sklearn.base import ClassifierMixin

from pipeline.core.records import Score
from pipeline.core.representations import Flags, Vectors
from pipeline.evaluation.bootstrap import Counts
from pipeline.evaluation.calibration import reliability
from pipeline.evaluation.linear_probe import linear_map
from pipeline.monitors.classifiers import fit_likeliest
from pipeline.monitors.datasets import HARMFUL, SAFE, Texts, VariantTexts
from pipeline.monitors.metrics import Measures, concept_measures, harm_measures, roc_at
from pipeline.monitors.saved import SavedMonitor
from pipeline.monitors.thresholds import Thresholds, choose_thresholds

FALSE_POSITIVE_RATES = np.linspace(0, 1, 101)  # false positive rates at which ROC curves are kept


@dataclass(frozen=True)
class Fitted:
    """A monitor that answers a question at a position; `thresholds` are of `harm` alone."""

    question: str
    kind: str
    position: str
    monitor: ClassifierMixin
    thresholds: Thresholds = field(default_factory=Thresholds)

    def with_thresholds(self, harmful: Flags, score: Vectors, rates: Sequence[float]) -> "Fitted":
        """The thresholds that validation texts [N] choose, by their truth and scores."""
        return replace(self, thresholds=choose_thresholds(harmful, score, rates))

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
            return harm_measures(self.harm(texts.vectors), harmful, self.thresholds, counts)
        probabilities = self.monitor.predict_proba(texts.vectors)
        return concept_measures(probabilities, self.monitor.classes_, texts.labels, counts)

    def scores(self, texts: Texts, group: str) -> list[Score]:
        """What it says of each text, which is one of a split or of a group of requests."""
        probabilities = self.monitor.predict_proba(texts.vectors)
        labels = self.monitor.classes_[probabilities.argmax(1)]
        if self.question == "harm":
            labels = np.where(self.harm(texts.vectors) >= self.thresholds.best, HARMFUL, SAFE)
        rows = zip(texts.ids, texts.labels, labels, probabilities, strict=True)
        return [
            Score(self.question, self.kind, self.position, group, str(name), str(truth), str(label),
                  tuple(map(float, own)))
            for name, truth, label, own in rows
        ]  # fmt: skip

    def reliability(self, texts: Texts, counts: Counts) -> list[dict[str, float]]:
        """Whether probabilities are what they say, bin by bin: of harm, or of the likeliest
        concept."""
        if self.question == "harm":
            found = reliability(self.harm(texts.vectors), texts.labels == HARMFUL, counts)
        else:
            probabilities = self.monitor.predict_proba(texts.vectors)
            correct = self.monitor.classes_[probabilities.argmax(1)] == texts.labels
            found = reliability(probabilities.max(1), correct, counts)
        return list(found)

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
    data: VariantTexts,
    question: str,
    kind: str,
    candidates: ClassifierMixin | Sequence[ClassifierMixin],
    position: str = "",
) -> Fitted:
    """Fit a monitor on the training texts; choose its thresholds and, of several candidates, the
    one whose probabilities are best, on the validation texts."""
    position = position or data.reading.position
    train = data.of(question, kind, "train", position)
    known = data.of(question, kind, "validation", position)
    tried = candidates if isinstance(candidates, Sequence) else [candidates]
    monitor = fit_likeliest(tried, train.vectors, train.labels, known.vectors, known.labels)
    fitted = Fitted(question, kind, position, monitor)
    if question == "concept" or not len(known):
        return fitted
    return fitted.with_thresholds(
        known.labels == HARMFUL, fitted.harm(known.vectors), data.reading.false_alarms
    )


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
        threshold=fitted.thresholds.best if is_harm else None,
        base=dict(data.base),
        centre=centre,
        weights=weights,
        bias=bias,
        signature=data.streams.signature,
    )
