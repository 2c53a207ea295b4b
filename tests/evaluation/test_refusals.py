"""Rates of refusals are of requests."""

import pytest

from pipeline.core.records import (
    Request,
    Verdict,
)
from pipeline.evaluation.refusals import rates


def test_rates_worked_example() -> None:
    requests = [
        Request("h1", "", True, False, "test"), Request("h2", "", True, True, "test"),
        Request("s1", "", False, False, "test"),
    ]  # fmt: skip
    verdicts = [Verdict(r, n, refused) for r, n, refused in
                [("h1", 0, True), ("h1", 1, False), ("h2", 0, True), ("h2", 1, True),
                 ("s1", 0, True), ("s1", 1, False)]]  # fmt: skip
    found = {name: rate.value for name, rate in rates(requests, verdicts, 20, 0).items()}
    assert found == {
        "harmful_rate": 0.25, "harmful_rate_test": 0.25, "harmful_rate_test_plain": 0.5,
        "harmful_rate_test_framed": 0.0, "over_refusal_rate": 0.5, "over_refusal_rate_test": 0.5,
        "over_refusal_rate_test_plain": 0.5, "refusal_gap": 0.25, "refusal_gap_test": 0.25,
        "refusal_gap_test_plain": 0.0,
    }  # fmt: skip
    assert rates([], [], 20, 0) == {}


@pytest.mark.parametrize("refusing", [True, False])
def test_a_model_that_refuses_all_or_none_tells_nothing(refusing: bool) -> None:
    """Its gap is 0 on every resample, whatever its harmful rate says."""
    requests = [Request(f"{n}", "", n % 3 == 0, n % 2 == 0, "test") for n in range(24)]
    found = rates(requests, [Verdict(r.id, 0, refusing) for r in requests], 20, 0)
    assert not found["refusal_gap"].values.any()
    assert (found["harmful_rate"].values == (not refusing)).all()


def test_the_gap_lies_in_the_two_rates() -> None:
    """Harmful and safe requests are drawn apart: all refused, or a coin's throw, the gap varies as
    the one that varies, and equals what the two rates give on the texts as they are."""
    requests = [Request(f"{n}", "", n % 2 == 0, False, "test") for n in range(40)]
    verdicts = [Verdict(r.id, 0, r.harmful or n % 4 == 1) for n, r in enumerate(requests)]
    found = rates(requests, verdicts, 200, 0)
    gap, wrong = found["refusal_gap"].values, found["over_refusal_rate"].values
    assert gap == pytest.approx(1 - wrong)
    assert gap[0] == pytest.approx(0.5)
    assert gap.std() > 0.05
    alike = [Verdict(r.id, 0, n % 4 < 2) for n, r in enumerate(requests)]
    apart = rates(requests, alike, 200, 0)
    assert apart["refusal_gap"].value == 0
    assert apart["refusal_gap"].standard_error() > 0.1, "as of two samples, not of one"
