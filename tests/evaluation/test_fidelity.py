"""Perplexity and divergence: worked examples."""

import numpy as np
import pytest

from pipeline.core.records import (
    Likelihood,
    Opening,
)
from pipeline.evaluation.fidelity import fidelity


def test_perplexity_weighs_tokens_not_documents() -> None:
    records = [Likelihood("a", 1, np.log(8), 0.3), Likelihood("b", 3, 3 * np.log(2), 0.1)]
    found = fidelity(records, [Opening("p", 0.5), Opening("q", 1.5)], 20, 0)
    assert found["perplexity"][0] == pytest.approx(8 ** (1 / 4) * 2 ** (3 / 4))
    assert found["kl_to_base"][0] == pytest.approx(0.1)
    assert found["kl_of_openings"][0] == 1
