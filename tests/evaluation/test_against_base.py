"""Differences from the untouched model are paired, text by text."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.core.records import (
    Likelihood,
    Opening,
    Request,
    Verdict,
)
from pipeline.evaluation.against_base import beside_base, metrics_tree, put_estimate, under
from pipeline.evaluation.bootstrap import Vector
from pipeline.evaluation.fidelity import fidelity
from pipeline.evaluation.intervals import Statistic, estimate
from pipeline.evaluation.refusals import outcomes, rates


def test_an_undefined_statistic_is_left_out_of_a_tree() -> None:
    """Nor have the branches that would lead to it; what stood there stays."""
    tree: dict[str, Any] = {"harm": {"threshold": 0.5}}
    put_estimate(tree, ("harm", "test", "auroc"), Statistic(np.array([0.75, 0.5, 1.0])))
    put_estimate(tree, ("harm", "novel", "auroc"), Statistic(np.array([np.nan, 0.5, 1.0])))
    estimated = estimate(np.array([0.75, 0.5, 1.0])).as_tree()
    assert tree == {"harm": {"threshold": 0.5, "test": {"auroc": estimated}}}


def test_paired_differences_forget_what_both_have_in_common() -> None:
    """Texts differ by far more than the two models do: both intervals overlap, and yet the
    difference is clear. The same model differs by nothing, and an unpaired one by no clear sign."""
    texts = np.random.default_rng(0).normal(3.0, 1.0, size=80)
    shift = np.random.default_rng(1).normal(0.05, 0.05, size=80)

    def perplexity(nlls: NDArray[np.float64]) -> dict[str, Vector]:
        weighed = [Likelihood(str(n), 10, 10 * nll, 0.0) for n, nll in enumerate(nlls)]
        return fidelity(weighed, [Opening("p", 0.0)], 400, 0)

    before, after = perplexity(texts), perplexity(texts + shift)
    tree: Any = compared(after, before)
    then: Any = compared(before, None)
    assert set(then) == {"perplexity", "kl_to_base", "kl_of_openings"}
    moved, was, now = tree["difference"]["perplexity"], then["perplexity"], tree["perplexity"]
    assert moved["value"] == pytest.approx(now["value"] - was["value"])
    assert moved["low"] > 0
    assert now["low"] < was["high"]
    assert moved["high"] - moved["low"] < 0.2 * (now["high"] - now["low"])
    by_hand = np.percentile((after["perplexity"] - before["perplexity"])[1:], [2.5, 97.5])
    assert (moved["low"], moved["high"]) == pytest.approx(tuple(by_hand))
    none: Any = compared(before, before)
    assert none["difference"]["perplexity"] == {"value": 0, "low": 0, "high": 0, "p": 1}
    others: Any = compared(perplexity((texts + shift)[::-1]), before)
    assert (
        others["difference"]["perplexity"]["low"] < 0 < others["difference"]["perplexity"]["high"]
    )


def compared(
    found: Mapping[str, Statistic | Vector], base: Mapping[str, Statistic | Vector] | None
) -> Any:
    return metrics_tree(under((), found), under((), base) if base else None)


def test_rates_of_two_models_are_paired_by_request() -> None:
    """One request in ten is newly answered; 80 requests, half of them answered by both."""
    requests = [Request(f"h{n}", "", True, False, "test") for n in range(80)]
    refused = [n % 2 == 0 for n in range(80)], [n % 2 == 0 and n % 20 > 2 for n in range(80)]
    then, now = (
        rates(
            requests,
            outcomes(Verdict(f"h{n}", 0, "rule", True, own, None) for n, own in enumerate(said)),
            500,
            0,
        )
        for said in refused
    )
    tree: Any = compared({"harmful_rate": now["harmful_rate"].rate},
                         {"harmful_rate": then["harmful_rate"].rate})  # fmt: skip
    moved = tree["difference"]["harmful_rate"]
    assert moved["value"] == pytest.approx(8 / 80)
    assert 0 < moved["low"] < moved["value"] < moved["high"] < 0.25


def test_the_untouched_model_is_measured_first_and_stands_beside_all_others() -> None:
    asked: list[str] = []

    def measure(name: str) -> int:
        asked.append(name)
        return len(asked)

    found = list(beside_base(["a", "base", "b"], measure))
    assert found == [("base", 1, None), ("a", 2, 1), ("b", 3, 1)]


def test_a_difference_is_taken_where_one_is_asked_for() -> None:
    values = under((), {"harm": np.array([0.5, 0.4]), "control": np.array([0.5, 0.6])})
    tree = metrics_tree(values, values, has_difference=lambda path: path[0] != "control")
    assert set(tree["difference"]) == {"harm"}
    assert "difference" not in metrics_tree(values, None)
