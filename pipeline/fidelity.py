"""Did the model stay what it was? Perplexity and divergence on held-out texts."""

from collections.abc import Sequence

import numpy as np

from pipeline.intervals import Estimate, bootstrap
from pipeline.records import Likelihood


def fidelity(likelihoods: Sequence[Likelihood], resamples: int, seed: int) -> dict[str, Estimate]:
    """perplexity, exp of the mean nll per token, from 1; kl_to_base, nats per token, from 0.

    Intervals resample documents; sums of nll and of tokens are drawn together.
    """
    nll = np.array([record.nll for record in likelihoods])
    kl = np.array([record.kl for record in likelihoods])
    tokens = np.array([record.tokens for record in likelihoods])
    return {
        "perplexity": bootstrap(
            lambda drawn: float(np.exp(nll[drawn].sum() / tokens[drawn].sum())),
            len(tokens), resamples, seed,
        ),
        "kl_to_base": bootstrap(
            lambda drawn: float(max(0.0, kl[drawn].sum() / tokens[drawn].sum())),
            len(tokens), resamples, seed,
        ),
    }  # fmt: skip
