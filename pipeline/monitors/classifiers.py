"""What is fitted to read concepts off representations: each monitor by the field's name for it.

Every monitor is fitted on training texts and scored on held-out ones, on the untouched model as
on every variant, so that a score is never credited to the finetune alone.
"""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize

from pipeline.core.records import HEADLINE
from pipeline.core.representations import Labels, Representations, Vectors
from pipeline.evaluation.linear_probe import new_logistic

MULTILAYER = "multilayer"


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
        weights = np.exp(cosine - cosine.max(1, keepdims=True))
        probabilities: Vectors = weights / weights.sum(1, keepdims=True)
        return probabilities

    def predict(self, vectors: Vectors) -> Labels:
        chosen: Labels = self.classes_[self.predict_proba(vectors).argmax(1)]
        return chosen


def new_monitors(neighbours: int, seed: int) -> dict[str, ClassifierMixin]:
    """The monitors of one layer by name, unfitted.

    `mahalanobis` is nearest prototype under one covariance of all classes with Ledoit-Wolf
    shrinkage (arXiv 2502.16174; which linear discriminant analysis is); nothing in it is trained
    by gradient. `mlp` has one hidden layer of 32.
    """
    return {
        "prototype": Prototype(),
        "mahalanobis": LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
        "knn": KNeighborsClassifier(neighbours),
        HEADLINE: new_logistic(),
        "mlp": make_pipeline(
            StandardScaler(),
            MLPClassifier((32,), solver="lbfgs", alpha=1.0, max_iter=60, random_state=seed),
        ),
    }


def fit(monitor: ClassifierMixin, vectors: Vectors, labels: Labels) -> ClassifierMixin:
    """Fit in place. The MLP stops after so many steps, whether or not it has converged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return monitor.fit(vectors, labels)


def all_layers_at(stored: Representations, position: str, split: str) -> Vectors:
    """What the multi-layer probe reads: a split's states of every extracted layer, end to end.

    [N, layers x D], each number standardised by the probe, which is one logistic regression. That
    all layers are read is the idea of arXiv 2604.18519 (SIREN), which also chooses neurons by
    sparse probes and weighs layers by validation; neither is done here.
    """
    return np.concatenate([stored.at(layer, position, split)[0] for layer in stored.layers], axis=1)
