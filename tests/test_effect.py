"""The page of the effect over seeds: what is paired, what is corrected, what a claim needs."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.effect import CORPORA, ROWS
from benchmarks.effect_page import (
    LED,
    OURS,
    RIVALS,
    SAMPLINGS,
    SeedResults,
    drawn_both_ways,
    gain,
    leads,
    over_seeds,
    page,
)
from pipeline.core.params import load_params
from tests.support.dag import ROOT


def runs_of(ours: float, seeds: int = 5) -> list[SeedResults]:
    """Every variant's numbers near .5, ours above by so much."""
    rng = np.random.default_rng(0)
    names = [*RIVALS, *SAMPLINGS.values(), OURS]
    found: list[SeedResults] = []
    for _ in range(seeds):
        run: SeedResults = {}
        for name in names:
            value = 0.5 + (ours if name.startswith(OURS) else 0) + 0.01 * rng.normal()
            run[name] = {number: {"value": value} for number in (*LED, "kl_of_openings")}
        found.append(run)
    return found


def test_every_loss_is_run_with_both_samplings() -> None:
    variants = {
        name: row.sampling for name, row in load_params(ROOT / "params.yaml").variants.items()
    }
    for row, changed in ROWS.items():
        variants[row] = changed.get("sampling", variants[changed["of"]])
    for loss in SAMPLINGS:
        assert [variants[name] for name in drawn_both_ways(loss)] == ["balanced", "random"]
        for corpus in ("safety", "topics"):
            assert {*drawn_both_ways(loss)} <= {*CORPORA[corpus].variants}


def test_p_is_students() -> None:
    values = [0.1, 0.3, 0.2, 0.4]
    assert over_seeds(values)["p"] == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert over_seeds([0.2])["p"] == over_seeds([0.2, 0.2])["p"] == 1


def test_a_gain_is_paired_by_seed() -> None:
    runs = runs_of(0.1)
    expected = np.mean(
        [r[OURS]["silhouette"]["value"] - r["base"]["silhouette"]["value"] for r in runs]
    )
    assert gain(runs, OURS, "base", "silhouette")["value"] == pytest.approx(expected)


def test_leads_hold_pairs_that_were_drawn_alike_against_each_other() -> None:
    found = leads(runs_of(0.1))
    assert len(found) == 2 * (len(RIVALS) - 1) * len(LED)
    assert all(lead["value"] > 0.05 for lead in found.values())


@pytest.mark.parametrize(("ours", "holds"), [(0.1, True), (0.012, False)])
def test_a_claim_outlives_the_correction_or_fails(ours: float, holds: bool) -> None:
    """Of 50 leads on two splits, one that is barely outside its interval is not claimed."""
    split = {f"seed_{n}": run for n, run in enumerate(runs_of(ours))}
    text = page({"safety": {"novel texts": split, "test texts": split}}, "abc")
    rows = [line for line in text.splitlines() if line.startswith(f"| {OURS} above ")]
    assert len(rows) == 2 * len(leads(runs_of(ours)))
    assert all(row.endswith("| yes |") for row in rows) == holds
    assert "| balanced minus random |" in text
    assert "corrected by Holm for all 100 leads" in text
