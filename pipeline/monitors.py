"""Reading danger off a representation: what a linear eye sees, with and without training.

Every monitor is fitted on training texts and scored on held-out ones, on the untouched model as
on every variant, so that a score is never credited to the finetune alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score, roc_curve
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize

from pipeline.intervals import Estimate, Indices, bootstrap

Vectors = NDArray[np.float64]
Labels = NDArray[np.str_]
Flags = NDArray[np.bool_]
Measure = Callable[[Flags, Vectors], float]
Statistic = Callable[[Indices], float]


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
    questions = detection_questions(probabilities, labels, concepts, safe)

    def mean_over_questions(measure: Measure, drawn: Indices) -> float:
        values = [measure(truth[drawn], score[drawn]) for truth, score in questions]
        return float(np.mean(values))

    def estimate(statistic: Statistic) -> Estimate:
        return bootstrap(statistic, len(labels), resamples, seed)

    return Score(
        accuracy=estimate(lambda drawn: float((predicted == labels)[drawn].mean())),
        macro_f1=estimate(
            lambda d: float(f1_score(labels[d], predicted[d], average="macro", zero_division=0.0))
        ),
        auroc=estimate(lambda drawn: mean_over_questions(auroc, drawn)),
        average_precision=estimate(lambda drawn: mean_over_questions(average_precision, drawn)),
        fpr95=estimate(lambda drawn: mean_over_questions(fpr_at_95_tpr, drawn)),
        calibration_error=estimate(
            lambda d: expected_calibration_error(probabilities[d].max(1), (predicted == labels)[d])
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


def auroc(truth: Flags, score: Vectors) -> float:
    """Area under the ROC curve; NaN where only one class is there."""
    return float(roc_auc_score(truth, score)) if truth.any() and not truth.all() else float("nan")


def average_precision(truth: Flags, score: Vectors) -> float:
    """Area under the precision-recall curve; NaN where nothing is to be found."""
    return float(average_precision_score(truth, score)) if truth.any() else float("nan")


def fpr_at_95_tpr(truth: Flags, score: Vectors) -> float:
    """The lowest false positive rate of a threshold that finds at least 95 %; NaN where only one
    class is there. Tied scores fall on one side together."""
    if not truth.any() or truth.all():
        return float("nan")
    false_positive, true_positive, _ = roc_curve(truth, score, drop_intermediate=False)
    return float(false_positive[true_positive >= 0.95].min())


def expected_calibration_error(confidence: Vectors, correct: Flags, bins: int = 10) -> float:
    """The mean gap between confidence and accuracy over equal-width bins of confidence."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        (place == b).mean() * abs(confidence[place == b].mean() - correct[place == b].mean())
        for b in np.unique(place)
    ]
    return float(np.sum(gaps))
