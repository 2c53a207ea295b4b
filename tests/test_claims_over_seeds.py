"""Claims over seeds: what a claim needs to hold."""

import numpy as np
import pytest

from benchmarks.claims_over_seeds import Claim, claims, drawn_claims
from benchmarks.effect_numbers import FIXED, OURS, SPLITS, Seed, over_seeds


def seeds_of(above: dict[str, float]) -> dict[str, Seed]:
    """Numbers near .5 of five seeds, those of some variants above by so much."""
    rng = np.random.default_rng(0)
    numbers = ("probe_accuracy", "best_probe", "silhouette")

    def measured(name: str) -> dict[str, object]:
        splits = {
            split: {n: 0.5 + above.get(name, 0.0) + 0.01 * rng.normal() for n in numbers}
            for split in SPLITS
        }
        return {"scale": 1.0, "costs": {}, "splits": splits}

    names = ("base", OURS, *FIXED, "shuffled")
    return {
        f"seed_{seed}": {
            "variants": {
                name: {"own": measured(name), "equal_kl": measured(name)} for name in names
            }
        }
        for seed in range(5)
    }


def verdicts(above: dict[str, float]) -> list[str]:
    return [claim.verdict() for claim in claims({"corpora": {"topics": seeds_of(above)}})]


def test_what_is_ahead_of_everything_holds_and_what_is_ahead_of_nothing_fails() -> None:
    count = len(SPLITS) + 2 * len(FIXED)
    assert verdicts({OURS: 0.3}) == count * ["holds"]
    assert verdicts({}) == count * ["fails"]


def test_a_gain_that_shuffled_labels_have_too_is_none() -> None:
    found = verdicts({OURS: 0.3, "shuffled": 0.3})
    assert found[: len(SPLITS)] == len(SPLITS) * ["fails: not clear of its control"]


def test_a_contrast_that_gains_no_more_than_a_head_fails_against_it_alone() -> None:
    found = claims({"corpora": {"topics": seeds_of({OURS: 0.3, "fixed_head": 0.3})}})
    failed = [claim.says for claim in found if claim.verdict() == "fails"]
    assert len(failed) == 2
    assert all("`fixed_head`" in says for says in failed)


def test_claims_are_corrected_within_their_kind() -> None:
    """Three gains: the smallest p is three times what its seeds give."""
    seeds = seeds_of({OURS: 0.02})
    own = claims({"corpora": {"topics": seeds}})[: len(SPLITS)]
    alone = [
        over_seeds([
            seed["variants"][OURS]["own"]["splits"][split]["best_probe"]
            - seed["variants"]["base"]["own"]["splits"][split]["best_probe"]
            for seed in seeds.values()
        ])["p"]
        for split in SPLITS
    ]  # fmt: skip
    assert min(claim.lead["p"] for claim in own) == pytest.approx(3 * min(alone))


def test_claims_that_fail_stand_last() -> None:
    made = [
        Claim("one", {"value": 0.0, "low": -1.0, "high": 1.0, "p": 1.0}, None, "all"),
        Claim("two", {"value": 1.0, "low": 0.9, "high": 1.1, "p": 0.001}, None, "all"),
    ]
    rows = drawn_claims(made).splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| two", "| one"]
