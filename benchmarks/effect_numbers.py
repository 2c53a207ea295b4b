"""What benchmarks.effect compares, over seeds: every loss with the others, drawn alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from commands.sweep.pooling import gap_over_seeds

OURS = "true_negatives"
FIXED = ("fixed_direction", "fixed_head")  # losses without a contrast
RIVALS = ("base", "infonce", "nt_xent", "supcon", *FIXED)
SAMPLINGS = {  # each loss, and the same loss with pairs drawn the other way
    "infonce": "infonce_balanced", "nt_xent": "nt_xent_balanced", "supcon": "supcon_random",
    OURS: f"{OURS}_random", **{loss: f"{loss}_random" for loss in FIXED},
}  # fmt: skip
FEWEST = 2  # seeds of a mean: one alone has no interval
SPLITS = ("test", "novel", "shifted")
LED = ("probe_accuracy", "best_probe", "centroid_accuracy", "silhouette")
AS_IT_IS, MATCHED = "own", "equal_kl"
Estimate = Mapping[str, float]  # value, low, high, and p of a mean over seeds
Numbers = dict[str, float]  # by name
Seed = dict[str, Any]  # what benchmarks.equal_kl writes of one seed
Run = dict[str, Numbers]  # one seed's numbers on one split, by variant
Claims = dict[str, tuple[str, bool]]  # what was found, and whether it holds


def over_seeds(values: Sequence[float]) -> Estimate:
    """The mean over seeds and its 95 % interval by Student's t; one seed has none. p: how often
    chance alone would put the mean this far from 0; 1 where seeds do not differ."""
    if len(values) == 1:
        return {"value": values[0], "low": values[0], "high": values[0], "p": 1.0}
    return gap_over_seeds(values)


def run_of(seed: Seed, split: str, how: str) -> Run:
    """One seed's numbers on one split, of the variants as they are or at equal KL. What could not
    be matched has none."""
    frozen = seed["variants"]["base"][AS_IT_IS]["splits"][split]["best_probe"]
    found: Run = {}
    for name, measured in seed["variants"].items():
        if how in measured:
            own = measured[how]
            row = {**own["splits"][split], **own["costs"], "scale": own["scale"]}
            row["above_best_frozen"] = row["probe_accuracy"] - frozen
            row["best_above_frozen"] = row["best_probe"] - frozen
            found[name] = row
    return found


def gain(runs: Sequence[Run], variant: str, rival: str, number: str) -> Estimate:
    """A variant minus a rival, seed by seed, of those seeds that have both."""
    both = having(runs, variant, rival)
    return over_seeds([run[variant][number] - run[rival][number] for run in both])


def having(runs: Sequence[Run], *variants: str) -> list[Run]:
    """The seeds that have all these variants: a run may not be finished, and a KL not reached.
    None where there are fewer than FEWEST."""
    found = [run for run in runs if {*variants} <= run.keys()]
    return found if len(found) >= FEWEST else []


def mean(runs: Sequence[Run], variant: str, number: str) -> Estimate:
    """A variant's number over the seeds that have it."""
    return over_seeds([run[variant][number] for run in having(runs, variant)])


def leads(runs: Sequence[Run]) -> dict[str, Estimate]:
    """How far our loss parts concepts better than the others do, seed by seed, under either
    sampling: to be judged together with those of all other texts."""
    return {
        claim_of(rival, number, sampling): gain(runs, ours, other, number)
        for rival in RIVALS[1:]
        for sampling, ours, other in alike(rival)
        if having(runs, ours, other)
        for number in LED
    }


def claim_of(rival: str, number: str, sampling: str = "balanced") -> str:
    return f"{OURS} above {rival}, {sampling}, {number}"


def alike(rival: str) -> list[tuple[str, str, str]]:
    """Our loss and a rival on pairs that were drawn alike, balanced and at random."""
    balanced, random = drawn_both_ways(rival)
    return [("balanced", OURS, balanced), ("random", SAMPLINGS[OURS], random)]


def drawn_both_ways(loss: str) -> tuple[str, str]:
    """A loss's variant with balanced pairs, and the one with pairs drawn at random."""
    other = SAMPLINGS[loss]
    return (other, loss) if other.endswith("_balanced") else (loss, other)


def gates(runs: Sequence[Run]) -> Claims:
    """The marks that were set for novel texts of the first generated corpus, and whether they are
    met on these."""
    found: Claims = {}
    knn = mean(runs, "base", "knn_accuracy")["value"]
    found["base k-NN leaves headroom, 0.40 to 0.75"] = (f"{knn:.3f}", 0.40 <= knn <= 0.75)
    for number in ("knn_accuracy", "centroid_accuracy"):
        rise = gain(runs, OURS, "base", number)
        found[f"{OURS} {number} at least 0.15 above base, interval above 0"] = (
            said(rise, "+"), rise["value"] >= 0.15 and rise["low"] > 0,
        )  # fmt: skip
        moved = gain(runs, "shuffled", "base", number)["value"]
        found[f"shuffled {number} within 0.05 of base"] = (f"{moved:+.3f}", abs(moved) <= 0.05)
        values = [run[OURS][number] for run in having(runs, OURS)]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        reached = float(np.mean(values)) >= 0.90 and spread <= 0.05
        found[f"{OURS} {number} at least 0.90, deviation over seeds at most 0.05"] = (
            f"{np.mean(values):.3f}, {spread:.3f}", reached,
        )  # fmt: skip
    before, after = (mean(runs, name, "perplexity")["value"] for name in ("base", OURS))
    cost = after / before - 1
    found[f"{OURS} perplexity within 4 % of base"] = (f"{cost:+.1%}", abs(cost) <= 0.04)
    return found


def said(estimate: Estimate, sign: str = "") -> str:
    value, low, high = (f"{estimate[end]:{sign}.3f}" for end in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
