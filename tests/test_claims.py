"""A claim holds where all of it lies beyond its bound and clear of its control."""

import json
from typing import Any

import pytest

from benchmarks.claims import CLAIMS, Claim, Number, drawn_claims
from pipeline.core.paths import METRICS

TREES: dict[str, Any] = {
    "ours.json": {
        "clear": {"value": 0.3, "low": 0.2, "high": 0.4},
        "seeded": {"value": 0.3, "low": 0.2, "high": 0.4, "seeds_low": 0.1, "seeds_high": 0.5},
        "one draw": {"value": 0.3, "low": 0.2, "high": 0.4, "seeds_low": -0.1, "seeds_high": 0.7},
    },
    "shuffled.json": {
        "none": {"value": 0.0, "low": -0.05, "high": 0.05},
        "as much": {"value": 0.2, "low": 0.1, "high": 0.3},
    },
}


def claim(number: str, bound: float = 0.0, control: str = "none", side: Any = "above") -> Claim:
    other = Number("shuffled.json", control) if control else None
    return Claim("It grows.", Number("ours.json", number), side, bound, "it does not", other)


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (claim("clear"), "holds over texts"),
        (claim("seeded"), "holds"),
        (claim("one draw"), "fails"),  # another seed may give the opposite
        (claim("clear", bound=0.25), "fails"),  # the interval reaches the bound
        (claim("clear", control="as much"), "fails: not clear of its control"),
        (claim("clear", side="below"), "fails"),
        (claim("clear", side="below", bound=1.0, control=""), "holds over texts"),
    ],
)
def test_a_claim_holds_beyond_its_bound_and_its_control(made: Claim, verdict: str) -> None:
    assert made.verdict(TREES) == verdict


def test_a_claim_outlives_the_correction_for_the_number_of_claims() -> None:
    """Two of twelve are sure enough alone; one of them is so among all."""
    numbers = {
        f"n{n}": {"value": 0.3, "low": 0.2, "high": 0.4, "p": p}
        for n, p in enumerate([0.001, 0.02, *[0.9] * 10])
    }
    made = tuple(
        Claim(f"{name} grows.", Number("own.json", name), "above", 0.0, "no") for name in numbers
    )
    rows = drawn_claims(made, {"own.json": numbers}).splitlines()[2:]
    held = [row.split("|")[1].strip() for row in rows if row.endswith("| holds over texts |")]
    assert held == ["n0 grows."]
    assert sum(row.endswith("| fails: not clear among so many claims |") for row in rows) == 11


def test_failed_claims_stay_and_stand_last() -> None:
    page = drawn_claims((claim("one draw"), claim("seeded")), TREES)
    assert [line.split("|")[-2].strip() for line in page.splitlines()[2:]] == ["holds", "fails"]


def test_a_number_that_is_not_there_is_no_claim() -> None:
    with pytest.raises(KeyError):
        claim("gone").verdict(TREES)


def test_every_claim_is_of_the_committed_run() -> None:
    for made in CLAIMS:
        for number in filter(None, (made.number, made.control)):
            tree = json.loads((METRICS / number.file).read_text(encoding="utf-8"))
            assert {"value", "low", "high"} <= set(number.read({number.file: tree})), number
