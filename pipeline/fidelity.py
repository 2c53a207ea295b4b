"""Did the model stay what it was? Perplexity and divergence on held-out texts."""

from collections.abc import Sequence

import numpy as np

from pipeline.intervals import Estimate, draw_resamples, estimate
from pipeline.records import Likelihood


def fidelity(likelihoods: Sequence[Likelihood], resamples: int, seed: int) -> dict[str, Estimate]:
    """perplexity, exp of the mean nll per token, from 1; kl_to_base, nats per token, from 0.

    Intervals resample documents; sums of nll and of tokens are drawn together.
    """
    nll = np.array([record.nll for record in likelihoods])
    kl = np.array([record.kl for record in likelihoods])
    tokens = np.array([record.tokens for record in likelihoods])
    counts = draw_resamples(len(tokens), resamples, seed)
    return {
        "perplexity": estimate(np.exp(counts @ nll / (counts @ tokens))),
        "kl_to_base": estimate(np.maximum(0.0, counts @ kl / (counts @ tokens))),
    }
