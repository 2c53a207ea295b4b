"""What is fitted to read concepts off representations: each monitor by the field's name for it.

Every monitor is fitted on training texts and scored on held-out ones, on the untouched model as
on every variant, so that a score is never credited to the finetune alone.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler, normalize

from pipeline.core.records import HEADLINE
from pipeline.core.representations import Labels, Representations, Vectors
from pipeline.evaluation.linear_probe import new_logistic

MULTILAYER, NEURONS = "multilayer", "neurons"  # they read every extracted layer
COSINE_TEMPERATURE = 0.1  # of `prototype`
PENALTIES = (0.02, 0.01, 0.05)  # inverse strengths of `neurons`: the first where none is chosen


class Prototype(ClassifierMixin, BaseEstimator):
    """Nearest concept mean by cosine, after centring; probabilities are
    softmax(cosine / COSINE_TEMPERATURE)."""

    def fit(self, vectors: Vectors, labels: Labels) -> "Prototype":
        self.classes_ = np.unique(labels)
        self.centre_ = vectors.mean(0)
        scaled = normalize(vectors - self.centre_)
        means = [scaled[labels == concept].mean(0) for concept in self.classes_]
        self.prototypes_ = normalize(np.stack(means))
        return self

    def predict_proba(self, vectors: Vectors) -> Vectors:
        cosine = normalize(vectors - self.centre_) @ self.prototypes_.T / COSINE_TEMPERATURE
        weights = np.exp(cosine - cosine.max(1, keepdims=True))
        probabilities: Vectors = weights / weights.sum(1, keepdims=True)
        return probabilities

    def predict(self, vectors: Vectors) -> Labels:
        chosen: Labels = self.classes_[self.predict_proba(vectors).argmax(1)]
        return chosen


class Logit(ClassifierMixin, BaseEstimator):
    """A probe that was fitted elsewhere: its vectors [N, 1] are logits of the first class of two.

    There is nothing left to learn but the classes' names.
    """

    def fit(self, vectors: Vectors, labels: Labels) -> "Logit":
        self.classes_ = np.unique(labels)
        return self

    def predict_proba(self, vectors: Vectors) -> Vectors:
        return np.hstack([expit(vectors), expit(-vectors)])


class MeanDifferences(TransformerMixin, BaseEstimator):
    """How far vectors lie along the way from the mean of all other classes to each class's:
    [N, D] to [N, K]; of two classes the second's alone, as the first's is its opposite: [N, 1]."""

    def fit(self, vectors: Vectors, labels: Labels) -> "MeanDifferences":
        classes = np.unique(labels)
        ways = [vectors[labels == c].mean(0) - vectors[labels != c].mean(0) for c in classes]
        self.ways_ = np.stack(ways[1:] if len(classes) == 2 else ways)
        return self

    def transform(self, vectors: Vectors) -> Vectors:
        along: Vectors = vectors @ self.ways_.T
        return along


def new_monitors(neighbours: int, seed: int) -> dict[str, ClassifierMixin]:
    """The monitors of one layer by name, unfitted.

    `mean_difference` is the direction between class means (mass-mean probing, arXiv 2310.06824)
    with a logistic regression of one number on top, which makes a probability of it.
    `mahalanobis` is nearest prototype under one covariance of all classes with Ledoit-Wolf
    shrinkage (arXiv 2502.16174; which linear discriminant analysis is); nothing in it is trained
    by gradient. `mlp` has one hidden layer of 32.
    """
    return {
        "prototype": Prototype(),
        "mean_difference": make_pipeline(MeanDifferences(), new_logistic()),
        "mahalanobis": LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
        "knn": KNeighborsClassifier(neighbours),
        HEADLINE: new_logistic(),
        "mlp": make_pipeline(
            StandardScaler(),
            MLPClassifier((32,), solver="lbfgs", alpha=1.0, max_iter=60, random_state=seed),
        ),
    }


def new_neurons(seed: int) -> list[Pipeline]:
    """Candidates for a sparse probe of harm, unfitted: logistic regressions of every coordinate of
    every extracted layer whose L1 penalty leaves but a few, one for each of PENALTIES.

    It chooses neurons as arXiv 2604.18519 (SIREN) does, but of all layers at once.
    """
    return [
        make_pipeline(
            StandardScaler(),
            LogisticRegression(
                C=penalty, l1_ratio=1.0, solver="liblinear", max_iter=1000, random_state=seed
            ),
        )
        for penalty in PENALTIES
    ]


def neurons_by_layer(sparse: Pipeline, layers: Sequence[int]) -> dict[str, int]:
    """How many coordinates a fitted sparse probe reads: of each layer, and `selected` in all."""
    read = (sparse[-1].coef_ != 0).any(0).reshape(len(layers), -1).sum(1)
    by_layer = {f"selected_layer_{layer}": int(n) for layer, n in zip(layers, read, strict=True)}
    return {"selected": int(read.sum()), **by_layer}


def fit(monitor: ClassifierMixin, vectors: Vectors, labels: Labels) -> ClassifierMixin:
    """Fit in place. The MLP stops after so many steps, whether or not it has converged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return monitor.fit(vectors, labels)


def fit_likeliest(
    candidates: Sequence[ClassifierMixin],
    vectors: Vectors,
    labels: Labels,
    known: Vectors,
    known_labels: Labels,
) -> ClassifierMixin:
    """Fit candidates in place; the one to which the labels of known texts are likeliest, or the
    first where none are known."""
    tried = [fit(one, vectors, labels) for one in candidates]
    if len(tried) == 1 or not len(known):
        return tried[0]

    def nll(monitor: ClassifierMixin) -> float:
        said = monitor.predict_proba(known)
        return float(log_loss(known_labels, said, labels=monitor.classes_))

    return min(tried, key=nll)


def all_layers_at(stored: Representations, position: str, split: str) -> Vectors:
    """What MULTILAYER and NEURONS read: a split's states of every extracted layer, end to end.

    [N, layers x D], each number standardised by the probe, which is one logistic regression.
    """
    return np.concatenate([stored.at(layer, position, split)[0] for layer in stored.layers], axis=1)
