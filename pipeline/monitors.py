"""Reading danger off a representation: what a linear eye sees, with and without training.

Every monitor is fitted on training texts and scored on held-out ones, on the untouched model as
on every variant, so that a score is never credited to the finetune alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize

from pipeline.intervals import Counts, Estimate, draw_resamples, estimate, estimate_mean

Vectors = NDArray[np.float64]
Labels = NDArray[np.str_]
Flags = NDArray[np.bool_]


class Prototype(ClassifierMixin, BaseEstimator):
    """Nearest concept mean by cosine, after centring; probabilities are softmax(cosine / 0.1)."""

    def fit(self, vectors: Vectors, labels: Labels) -> "Prototype":
        self.classes_ = np.unique(labels)
        self.centre_ = vectors.mean(0)
        scaled = normalize(vectors - self.centre_)
        means = [scaled[labels == concept].mean(0) for concept in self.classes_]
        self.prototypes_ = normalize(np.stack(means))
        return self

    def predict_proba(self, vectors: Vectors) -> Vectors:
        cosine = normalize(vectors - self.centre_) @ self.prototypes_.T / 0.1
        odds = np.exp(cosine - cosine.max(1, keepdims=True))
        shares: Vectors = odds / odds.sum(1, keepdims=True)
        return shares

    def predict(self, vectors: Vectors) -> Labels:
        chosen: Labels = self.classes_[self.predict_proba(vectors).argmax(1)]
        return chosen


def new_monitors(neighbours: int) -> dict[str, ClassifierMixin]:
    """The monitors by name, unfitted.

    `mahalanobis` is nearest prototype under one covariance of all concepts with Ledoit-Wolf
    shrinkage (which linear discriminant analysis is); nothing in it is trained by gradient.
    """
    return {
        "prototype": Prototype(),
        "mahalanobis": LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
        "knn": KNeighborsClassifier(neighbours),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=1000)),
    }


@dataclass(frozen=True)
class Score:
    """How well a monitor does on one held-out set, each number in [0, 1] with its interval.

    Where the corpus has a safe concept, auroc, average_precision and fpr95 tell harmful texts
    from safe ones, scored by the probability of any harm; elsewhere they are means over concepts,
    each against the rest.
    """

    accuracy: Estimate
    macro_f1: Estimate
    auroc: Estimate
    average_precision: Estimate
    fpr95: Estimate
    calibration_error: Estimate

    def as_tree(self) -> dict[str, dict[str, float]]:
        return {name: estimate.as_tree() for name, estimate in vars(self).items()}


def score_monitor(
    monitor: ClassifierMixin,
    vectors: Vectors,
    labels: Labels,
    safe: tuple[str, ...],
    resamples: int,
    seed: int,
) -> Score:
    """Score a fitted monitor on held-out texts [N, D] with their concepts [N]."""
    concepts: Labels = monitor.classes_
    probabilities: Vectors = monitor.predict_proba(vectors)
    predicted = concepts[probabilities.argmax(1)]
    counts = draw_resamples(len(labels), resamples, seed)
    rankings = [
        ranking(truth, score, counts)
        for truth, score in detection_questions(probabilities, labels, concepts, safe)
    ]
    auroc, average_precision, fpr95 = (
        estimate(mean_of_defined(np.stack(measure))) for measure in zip(*rankings, strict=True)
    )
    return Score(
        accuracy=estimate_mean((predicted == labels).astype(float), counts),
        macro_f1=estimate(macro_f1(labels, predicted, counts)),
        auroc=auroc,
        average_precision=average_precision,
        fpr95=fpr95,
        calibration_error=estimate(
            calibration_error(probabilities.max(1), predicted == labels, counts)
        ),
    )


def detection_questions(
    probabilities: Vectors, labels: Labels, concepts: Labels, safe: tuple[str, ...]
) -> list[tuple[Flags, Vectors]]:
    """What is to be detected, and the score for it: harm, or each concept against the rest."""
    if safe:
        harmless = np.isin(concepts, safe)
        return [(~np.isin(labels, safe), 1 - probabilities[:, harmless].sum(1))]
    return [(labels == concept, probabilities[:, i]) for i, concept in enumerate(concepts)]


def ranking(truth: Flags, score: Vectors, counts: Counts) -> tuple[Vectors, Vectors, Vectors]:
    """AUROC, average precision and the false positive rate where 95 % is found, on resamples: [R].

    truth, score: [N]. counts: [R, N], how often each resample holds each text. Tied scores fall on
    one side of a threshold together. NaN where a resample holds one class only.
    """
    order = np.argsort(-score, kind="stable")
    thresholds = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    weights = counts[:, order]
    found = np.cumsum(weights * truth[order], axis=1)[:, thresholds]
    alarms = np.cumsum(weights * ~truth[order], axis=1)[:, thresholds]
    with np.errstate(invalid="ignore"):
        recall, false_positive = found / found[:, -1:], alarms / alarms[:, -1:]
        precision = np.nan_to_num(found / (found + alarms))
    steps = np.diff(recall, axis=1, prepend=0.0)
    before = np.pad(recall, ((0, 0), (1, 0)))
    heights = (before[:, 1:] + before[:, :-1]) / 2
    auroc = (np.diff(false_positive, axis=1, prepend=0.0) * heights).sum(1)
    enough = recall >= 0.95 - 1e-12
    fpr95 = np.where(enough, false_positive, np.inf).min(1)
    undefined = np.isnan(auroc)
    precisions = np.where(undefined, np.nan, (steps * precision).sum(1))
    return auroc, precisions, np.where(undefined, np.nan, fpr95)


def mean_of_defined(values: Vectors) -> Vectors:
    """The mean over questions [Q, R], without those that a resample leaves undefined."""
    defined = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean: Vectors = np.where(defined, values, 0.0).sum(0) / defined.sum(0)
    return mean


def macro_f1(labels: Labels, predicted: Labels, counts: Counts) -> Vectors:
    """The mean F1 over the concepts that are there or predicted, on resamples: [R]."""
    concepts = np.unique(np.concatenate([labels, predicted]))
    is_there, is_said = labels[:, None] == concepts, predicted[:, None] == concepts
    sizes = counts @ is_there + counts @ is_said
    with np.errstate(invalid="ignore"):
        scores = 2 * (counts @ (is_there & is_said)) / sizes
    return mean_of_defined(scores.T)


def calibration_error(
    confidence: Vectors, correct: Flags, counts: Counts, bins: int = 10
) -> Vectors:
    """The mean gap between confidence and accuracy over equal-width bins, on resamples: [R]."""
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = counts @ ((places[:, None] == np.arange(bins)) * (confidence - correct)[:, None])
    error: Vectors = np.abs(gaps).sum(1) / counts.sum(1)
    return error
