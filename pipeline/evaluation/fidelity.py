"""Did the model stay what it was? Perplexity and divergence on held-out texts."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.core.records import Likelihood, Opening
from pipeline.evaluation.bootstrap import (
    Counts,
    Vector,
    draw_prompts,
    draw_resamples,
    resampled_mean,
)
from pipeline.evaluation.intervals import Statistic


def fidelity(
    likelihoods: Sequence[Likelihood], openings: Sequence[Opening], resamples: int, seed: int
) -> dict[str, Vector]:
    """perplexity, exp of the mean nll per token, from 1; kl_to_base, nats per token, from 0, and
    kl_of_openings, the same of the first word to a prompt.

    On resamples of documents, or of prompts; sums of nll and of tokens are drawn together.
    """
    nll = np.array([record.nll for record in likelihoods])
    tokens = np.array([record.tokens for record in likelihoods])
    first = np.maximum(0.0, [opening.kl for opening in openings])
    counts = draw_resamples(len(tokens), resamples, seed)
    return {
        "perplexity": np.exp(counts @ nll / (counts @ tokens)),
        "kl_to_base": kl_per_token(likelihoods, counts),
        "kl_of_openings": resampled_mean(first, draw_resamples(len(first), resamples, seed)),
    }


def kl_per_token(likelihoods: Sequence[Likelihood], counts: Counts) -> Vector:
    """The mean divergence of a token from 0, in nats, on resamples [R, N] of the texts: [R]."""
    kl = np.array([record.kl for record in likelihoods])
    tokens = np.array([record.tokens for record in likelihoods])
    found: Vector = np.maximum(0.0, counts @ kl / (counts @ tokens))
    return found


def kl_of_answers(
    likelihoods: Sequence[Likelihood], prompts: Mapping[str, str], resamples: int, seed: int
) -> Statistic:
    """The same of answers to requests, whose prompts [by id] are drawn."""
    asked = [prompts[record.document] for record in likelihoods]
    return Statistic(kl_per_token(likelihoods, draw_prompts(asked, resamples, seed)))
