"""Probes of harm that read every token of a text: a score a token, pooled over the text's tokens.

A token's score is z = v x + b, where x is its state, standardised; a text's logit is the weighted
mean of its tokens' scores. The weights are the softmax of q x (`attention_pooled`) or of z
(`softmax_pooled`), or all on the highest z (`max_pooled`): arXiv 2506.10805 compares them.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from pipeline.core.representations import Flags, Vectors
from pipeline.monitors.token_states import Starts, States, TokenStates

Pooling = Literal["attention_pooled", "max_pooled", "softmax_pooled"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
STEPS = 25  # of L-BFGS at most; validation texts choose after which one to stop
PENALTY = 20.0  # of the squared lengths of v and q, as strong as the linear probe's


@dataclass(frozen=True)
class PooledProbe:
    """v and q [D] for states as they are, not standardised, and b. What centring would take from
    q x is the same for every token of a text, and changes no softmax."""

    pooling: Pooling
    value: Vectors
    query: Vectors
    bias: float

    def logits(self, states: TokenStates, texts: range) -> Vectors:
        """The logits [N] of texts; of harm where it is above 0."""
        found = [self.read(own, starts)[0] for _, own, starts in states.batches(texts)]
        return np.concatenate([np.zeros(0), *found])

    def read(self, states: States, starts: Starts) -> tuple[Vectors, Vectors, Vectors]:
        """The logits of texts [n] that begin at these tokens; their tokens' scores and weights,
        [t] each, of which the weights of a text sum to 1."""
        both = states @ np.stack([self.value, self.query], axis=1).astype(np.float32)
        score, asked = both.astype(np.float64).T
        score = score + self.bias
        drawn = asked if self.pooling == "attention_pooled" else score
        lengths = np.diff(np.append(starts, len(score)))
        below = drawn - np.repeat(np.maximum.reduceat(drawn, starts), lengths)
        raised = np.exp(below) if self.pooling != "max_pooled" else (below == 0).astype(float)
        weight = raised / np.repeat(np.add.reduceat(raised, starts), lengths)
        return np.add.reduceat(weight * score, starts), score, weight


@dataclass(frozen=True)
class Standard:
    """The mean of tokens' states and their deviations from it, [D] each; and the way from the mean
    text of one kind to that of the other, in those deviations."""

    centre: Vectors
    scale: Vectors
    way: Vectors

    def probe(self, pooling: Pooling, numbers: Vectors) -> PooledProbe:
        """The probe of standardised states whose v, q and b are these numbers [2 D + 1]."""
        value, query = numbers[:-1].reshape(2, -1) / self.scale
        return PooledProbe(pooling, value, query, float(numbers[-1] - value @ self.centre))


def fit_pooled(
    pooling: Pooling, states: TokenStates, harmful: Flags, learned: range, known: range
) -> PooledProbe:
    """Logistic regression on the texts that are learned from, by L-BFGS; of its steps the one at
    which the texts that are known for validation are likeliest.

    harmful: [N], of all texts. Starts as a mean over tokens along the way between both kinds.
    """
    standard = standard_of(states, harmful, learned)
    length = standard.way @ standard.way
    start = np.append(standard.way / (length or 1.0), np.zeros(len(standard.way) + 1))
    steps = [start]

    def objective(numbers: Vectors) -> tuple[float, Vectors]:
        return _objective(pooling, numbers, standard, states, harmful, learned)

    minimize(
        objective, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS},
        callback=lambda numbers: steps.append(numbers.copy()),
    )  # fmt: skip
    probes = [standard.probe(pooling, numbers) for numbers in steps]
    if not len(known):
        return probes[-1]
    truth = harmful[known.start : known.stop]
    return min(probes, key=lambda probe: _losses(probe.logits(states, known), truth).mean())


def standard_of(states: TokenStates, harmful: Flags, learned: range) -> Standard:
    """In one pass over the texts that are learned from. A number that never varies has scale 1."""
    total, squares = np.zeros((2, states.width))
    kinds = np.zeros((2, states.width))
    for texts, batch, starts in states.batches(learned):
        values = batch.astype(np.float64)
        sums = np.add.reduceat(values, starts, axis=0)
        means = sums / np.diff(np.append(starts, len(values)))[:, None]
        truth = harmful[texts.start : texts.stop]
        kinds += means[~truth].sum(0), means[truth].sum(0)
        total, squares = total + sums.sum(0), squares + (values**2).sum(0)
    tokens = states.ends[learned.stop] - states.ends[learned.start]
    centre = total / tokens
    variance = np.maximum(squares / tokens - centre**2, 0)
    scale = np.sqrt(np.where(variance > 1e-12 * np.maximum(centre**2, 1), variance, 1.0))
    known = harmful[learned.start : learned.stop]
    sizes = np.maximum([(~known).sum(), known.sum()], 1)
    safe, harm = kinds / sizes[:, None]
    return Standard(centre, scale, (harm - safe) / scale)


def _objective(
    pooling: Pooling, numbers: Vectors, standard: Standard, states: TokenStates, harmful: Flags,
    learned: range,
) -> tuple[float, Vectors]:  # fmt: skip
    """The mean loss over texts with the penalty, and its gradient [2 D + 1], in one pass."""
    probe = standard.probe(pooling, numbers)
    loss, gradient = 0.0, np.zeros(len(numbers))
    for texts, batch, starts in states.batches(learned):
        logit, score, weight = probe.read(batch, starts)
        truth = harmful[texts.start : texts.stop]
        loss += _losses(logit, truth).sum()
        lengths = np.diff(np.append(starts, len(batch)))
        error, mean = (np.repeat(own, lengths) for own in (expit(logit) - truth, logit))
        of_score, of_asked = error * weight, error * weight * (score - mean)
        if pooling == "softmax_pooled":
            of_score = of_score + of_asked
        if pooling != "attention_pooled":
            of_asked = 0 * of_asked
        by_token = np.stack([of_score, of_asked])
        raw = by_token.astype(np.float32) @ batch - np.outer(by_token.sum(1), standard.centre)
        gradient += np.append((raw / standard.scale).ravel(), of_score.sum())
    weights = np.append(numbers[:-1], 0.0)
    penalised = loss + PENALTY / 2 * float(weights @ weights)
    return penalised / len(learned), (gradient + PENALTY * weights) / len(learned)


def _losses(logit: Vectors, truth: Flags) -> Vectors:
    """The negative log-likelihood of every text's kind [N], in nats."""
    losses: Vectors = np.logaddexp(0, logit) - logit * truth
    return losses
