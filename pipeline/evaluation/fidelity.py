"""Did the model stay what it was? Perplexity and divergence on held-out texts."""

from collections.abc import Sequence

import numpy as np

from pipeline.core.records import Likelihood, Opening
from pipeline.evaluation.bootstrap import Vector, draw_resamples, resampled_mean


def fidelity(
    likelihoods: Sequence[Likelihood], openings: Sequence[Opening], resamples: int, seed: int
) -> dict[str, Vector]:
    """perplexity, exp of the mean nll per token, from 1; kl_to_base, nats per token, from 0, and
    kl_of_openings, the same of the first word to a prompt.

    On resamples of documents, or of prompts; sums of nll and of tokens are drawn together.
    """
    nll = np.array([record.nll for record in likelihoods])
    kl = np.array([record.kl for record in likelihoods])
    tokens = np.array([record.tokens for record in likelihoods])
    first = np.maximum(0.0, [opening.kl for opening in openings])
    counts = draw_resamples(len(tokens), resamples, seed)
    return {
        "perplexity": np.exp(counts @ nll / (counts @ tokens)),
        "kl_to_base": np.maximum(0.0, counts @ kl / (counts @ tokens)),
        "kl_of_openings": resampled_mean(first, draw_resamples(len(first), resamples, seed)),
    }
