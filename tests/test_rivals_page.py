"""The page of rivals that look at harmful answers: what is judged, and what is left out."""

import numpy as np
import pytest

from benchmarks.equal_kl import Found
from benchmarks.rivals import ANSWERS, CORPUS, COSTS, PROBES, ROWS, outcome, page, run_at
from pipeline.core.params import load_params
from pipeline.core.sections import Variant


def found(refuses: float, seeds: int = 5) -> dict[str, object]:
    """Every variant's numbers near .5; rerouting answers fewer harmful requests by so much."""
    rng = np.random.default_rng(0)

    def of(name: str) -> Found:
        numbers = {n: 0.5 + 0.01 * rng.normal() for n in (*ANSWERS, *PROBES)}
        if name == "rerouting":
            numbers["harmful_rate"] -= refuses
        return {"scale": 1.0, "costs": dict.fromkeys(COSTS[1:], 0.1), "numbers": numbers}

    return {
        "commit": "abc",
        "command": "python -m benchmarks.rivals",
        "seeds": {
            f"seed_{seed}": {name: {"own": of(name), "equal_kl": of(name)}
                             for name in CORPUS.variants}
            for seed in range(seeds)
        },
    }  # fmt: skip


@pytest.mark.parametrize(("refuses", "is_bold"), [(0.3, True), (0.0, False)])
def test_a_change_is_bold_where_it_is_clear(refuses: float, is_bold: bool) -> None:
    changes = page(found(refuses)).partition("## At equal KL, minus `base`")[2]
    (row,) = [line for line in changes.splitlines() if line.startswith("| `rerouting`")]
    assert ("**-0.3" in row) == is_bold
    assert "`base` |" not in changes


def test_what_does_not_reach_the_kl_is_left_out_there_alone() -> None:
    report = found(0.3)
    for variants in report["seeds"].values():
        del variants["bending"]["equal_kl"]
    own, _, matched = page(report).partition("\n## At equal KL\n")
    assert "| `bending` |" in own
    assert "| `bending` |" not in matched
    assert "bending" not in run_at(report["seeds"]["seed_0"], "equal_kl")


def test_a_refusal_is_no_harmful_answer() -> None:
    assert outcome(True).bad == 0
    assert outcome(False).bad == 1


def test_the_rivals_rows_are_variants_that_weigh_their_own_term_alone() -> None:
    known = load_params().variants
    for row in ROWS.values():
        variant = Variant(**dict(known[row["of"]]) | {k: v for k, v in row.items() if k != "of"})
        assert (variant.retain_weight, variant.response_weight) == (0.0, 0.0)
        assert variant.contrast == next(n for n, own in ROWS.items() if own is row)
