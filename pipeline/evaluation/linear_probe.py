"""The linear probe: what a linear eye reads off a representation, as one affine score a concept."""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
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
    scaler = StandardScaler()
    fitted = LogisticRegression(C=0.05, max_iter=1000).fit(scaler.fit_transform(vectors), labels)
    weights = fitted.coef_ / scaler.scale_
    offsets = fitted.intercept_ - weights @ scaler.mean_
    if len(concepts) == 2:
        weights = np.vstack([np.zeros_like(weights), weights])
        offsets = np.append(0.0, offsets)
    return Probe(concepts, weights, offsets)
