"""Perplexity and divergence: worked examples."""

import numpy as np
import pytest

from pipeline.core.records import (
    Likelihood,
    Opening,
)
from pipeline.evaluation.fidelity import fidelity, kl_of_answers


def test_perplexity_weighs_tokens_not_documents() -> None:
    records = [Likelihood("a", 1, np.log(8), 0.3), Likelihood("b", 3, 3 * np.log(2), 0.1)]
    found = fidelity(records, [Opening("p", 0.5), Opening("q", 1.5)], 20, 0)
    assert found["perplexity"][0] == pytest.approx(8 ** (1 / 4) * 2 ** (3 / 4))
    assert found["kl_to_base"][0] == pytest.approx(0.1)
    assert found["kl_of_openings"][0] == 1


def test_divergence_of_answers_weighs_tokens_and_draws_prompts() -> None:
    """Two answers to one prompt come and go together: one prompt alone has no interval."""
    records = [Likelihood("a", 1, 0.0, 0.3), Likelihood("b", 3, 0.0, 0.1)]
    found = kl_of_answers(records, {"a": "How?", "b": "Why?"}, 50, 0)
    assert found.value == pytest.approx(0.1)
    low, high = found.interval()
    assert low < 0.1 < high
    of_one = kl_of_answers(records, {"a": "How?", "b": "How?"}, 50, 0)
    assert of_one.interval() == pytest.approx((0.1, 0.1))
