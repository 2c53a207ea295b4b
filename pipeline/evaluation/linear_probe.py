"""The linear probe: logistic regression on standardised columns, as one affine score a concept.

The `logistic` monitor is the same probe, and so is what of it is saved.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.core.representations import Labels, Vectors


@dataclass(frozen=True)
class Probe:
    """Scores W x + b of concepts [C]: weights [C, D], offsets [C], in units of the vectors."""

    concepts: Labels
    weights: Vectors
    offsets: Vectors

    def scores(self, vectors: Vectors) -> Vectors:
        """[N, C]"""
        found: Vectors = vectors @ self.weights.T + self.offsets
        return found

    def predict(self, vectors: Vectors) -> Labels:
        chosen: Labels = self.concepts[self.scores(vectors).argmax(1)]
        return chosen

    def correct(self, vectors: Vectors, labels: Labels) -> Vectors:
        """1 for each text whose concept is read right, else 0: [N]."""
        right: Vectors = (self.predict(vectors) == labels).astype(np.float64)
        return right


def fit_probe(vectors: Vectors, labels: Labels) -> Probe:
    """Logistic regression on columns of unit variance, so that the vectors' scale and origin change
    nothing. Of two concepts the first one scores 0; a single one is always read."""
    concepts = np.unique(labels)
    if len(concepts) == 1:
        return Probe(concepts, np.zeros((1, vectors.shape[1])), np.zeros(1))
    centre, weights, bias = fitted_rows(new_logistic().fit(vectors, labels))
    return Probe(concepts, *a_row_each(weights, bias - weights @ centre))


def new_logistic() -> Pipeline:
    """The probe as scikit-learn's, unfitted; strongly regularised, as texts are few."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=1000))


def linear_map(logistic: Pipeline) -> tuple[Vectors, Vectors, Vectors]:
    """A fitted probe as centre [D], weights [K, D], bias [K]: its probabilities are
    softmax(weights (h - centre) + bias)."""
    centre, weights, bias = fitted_rows(logistic)
    return centre, *a_row_each(weights, bias)


def fitted_rows(logistic: Pipeline) -> tuple[Vectors, Vectors, Vectors]:
    """Centre [D], weights [K, D] and bias [K] in units of the vectors; of two classes only the
    second's row is fitted."""
    scaler, regression = logistic[0], logistic[1]
    return scaler.mean_, regression.coef_ / scaler.scale_, regression.intercept_


def a_row_each(weights: Vectors, bias: Vectors) -> tuple[Vectors, Vectors]:
    """A row for every class: the first one of two, which is not fitted, scores 0."""
    if len(weights) > 1:
        return weights, bias
    return np.vstack([0 * weights, weights]), np.append(0.0, bias)
