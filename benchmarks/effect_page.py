"""The page of benchmarks.effect: means over seeds, and what is claimed of them."""

import sys
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from pipeline.reporting.comparison import corrected, is_clear

OURS = "true_negatives"
FIXED = ("fixed_direction", "fixed_head")  # losses without a contrast
RIVALS = ("base", "infonce", "nt_xent", "supcon", *FIXED)
SAMPLINGS = {  # each loss, and the same loss with pairs drawn the other way
    "infonce": "infonce_balanced", "nt_xent": "nt_xent_balanced", "supcon": "supcon_random",
    OURS: f"{OURS}_random", **{loss: f"{loss}_random" for loss in FIXED},
}  # fmt: skip
SHORT = ("above_best_frozen", "above_best_frozen_shifted", "probe_accuracy",
         "probe_accuracy_shifted", "best_probe", "best_probe_shifted", "monitor_auroc",
         "selfie_accuracy", "kl_of_openings")  # fmt: skip
GAINS = ("probe_accuracy", "probe_accuracy_shifted", "silhouette", "monitor_auroc",
         "monitor_auroc_shifted", "selfie_accuracy", "kl_of_openings")  # fmt: skip
LED = ("probe_accuracy", "probe_accuracy_shifted", "centroid_accuracy", "silhouette",
       "monitor_auroc")  # fmt: skip
Estimate = Mapping[str, float]  # value, low, high, and p of a mean over seeds
Numbers = dict[str, Estimate]  # by number
SeedResults = dict[str, Numbers]  # by variant
Claims = dict[str, tuple[str, bool]]  # what was found, and whether it holds


def over_seeds(values: Sequence[float]) -> Estimate:
    """The mean over seeds and its 95 % interval by Student's t; one seed has none. p: how often
    chance alone would put the mean this far from 0; 1 where seeds do not differ."""
    mean = float(np.mean(values))
    error = float(stats.sem(values)) if len(values) > 1 else 0.0
    if not error > 0:
        return {"value": mean, "low": mean, "high": mean, "p": 1.0}
    freedom = len(values) - 1
    reach = float(stats.t.ppf(0.975, freedom)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, freedom))
    return {"value": mean, "low": mean - reach, "high": mean + reach, "p": p}


def mean_row(runs: Sequence[SeedResults], variant: str) -> Numbers:
    """Every number of a variant over seeds."""
    return {
        number: over_seeds([run[variant][number]["value"] for run in runs])
        for number in runs[0][variant]
    }


def gain(runs: Sequence[SeedResults], variant: str, rival: str, number: str) -> Estimate:
    """A variant minus a rival, seed by seed."""
    return over_seeds([run[variant][number]["value"] - run[rival][number]["value"] for run in runs])


def gates(runs: Sequence[SeedResults]) -> Claims:
    """What the method claims of a generated corpus, and whether the seeds hold it."""
    means = {name: mean_row(runs, name) for name in runs[0] if name != "text_only"}
    base, tuned = means["base"], means[OURS]
    found: Claims = {}
    knn = base["knn_accuracy"]["value"]
    found["base k-NN leaves headroom, 0.40 to 0.75"] = (f"{knn:.3f}", 0.40 <= knn <= 0.75)
    for number in ("knn_accuracy", "centroid_accuracy"):
        rise = gain(runs, OURS, "base", number)
        found[f"{OURS} {number} at least 0.15 above base, interval above 0"] = (
            _said(rise, "+"), rise["value"] >= 0.15 and rise["low"] > 0,
        )  # fmt: skip
        moved = gain(runs, "shuffled", "base", number)["value"]
        found[f"shuffled {number} within 0.05 of base"] = (f"{moved:+.3f}", abs(moved) <= 0.05)
        values = [run[OURS][number]["value"] for run in runs]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        reached = float(np.mean(values)) >= 0.90 and spread <= 0.05
        found[f"{OURS} {number} at least 0.90, deviation over seeds at most 0.05"] = (
            f"{np.mean(values):.3f}, {spread:.3f}", reached,
        )  # fmt: skip
    cost = tuned["perplexity"]["value"] / base["perplexity"]["value"] - 1
    found[f"{OURS} perplexity within 4 % of base"] = (f"{cost:+.1%}", abs(cost) <= 0.04)
    for name in ("base", OURS):
        row = means[name]
        lead = {"value": row["selfie_accuracy"]["value"] - row["selfie_best_control"]["value"]}
        found[f"{name} SelfIE at least 0.3 above its best control"] = (
            f"{lead['value']:+.3f}", lead["value"] >= 0.3,
        )  # fmt: skip
    return found


def leads(runs: Sequence[SeedResults]) -> dict[str, Estimate]:
    """How far our loss parts concepts better than the others do, seed by seed, under either
    sampling: to be judged together with those of all other texts."""
    pairs = {
        f"{OURS} above {rival}{drawn}": (ours, other)
        for rival in RIVALS[1:]
        for drawn, ours, other in _alike(rival)
    }
    return {
        f"{claim}, {number}": gain(runs, ours, other, number)
        for claim, (ours, other) in pairs.items()
        if ours in runs[0] and other in runs[0]
        for number in LED
        if number in runs[0][ours] and number in runs[0][other]
    }


def _alike(rival: str) -> list[tuple[str, str, str]]:
    """Our loss and a rival on pairs that were drawn alike, balanced and at random."""
    balanced, random = drawn_both_ways(rival)
    return [(", balanced", OURS, balanced), (", random", SAMPLINGS[OURS], random)]


def drawn_both_ways(loss: str) -> tuple[str, str]:
    """A loss's variant with balanced pairs, and the one with pairs drawn at random."""
    other = SAMPLINGS[loss]
    return (other, loss) if other.endswith("_balanced") else (loss, other)


def page(report: Mapping[str, Mapping[str, Mapping[str, SeedResults]]], commit: str) -> str:
    command = " ".join(["python -m benchmarks.effect", *sys.argv[1:]])
    seeds = len(next(iter(next(iter(report.values())).values())))
    judged = corrected(
        {
            (name, split, claim): lead
            for name, by_split in report.items()
            for split, by_seed in by_split.items()
            for claim, lead in leads(list(by_seed.values())).items()
        }
    )
    lines = [
        "# The effect over seeds",
        "",
        f"Means over {seeds} seeds, in brackets their 95 % interval (Student's t over seeds); "
        f"every seed's own numbers are in effect.json. p of a lead is corrected by Holm for all "
        f"{len(judged)} leads of this page. Made by `{command}`, "
        f"with the pipeline of commit {commit}.",
    ]
    for name, by_split in report.items():
        for split, by_seed in by_split.items():
            runs = list(by_seed.values())
            lines += ["", f"## {name}, {split} texts", "", *_table(runs, SHORT)]
            lines += ["", *_table(runs, [n for n in runs[0]["base"] if n not in SHORT])]
            for variant in (name for name in ("supcon", OURS) if name in runs[0]):
                lines += ["", *_gains(runs, variant)]
            all_measured = "selfie_accuracy" in runs[0]["base"]
            claims = gates(runs) if all_measured and split == "novel" else {}
            claims |= {
                claim: (
                    f"{_said(lead, '+')}, p {lead['p']:.3f}",
                    lead["value"] > 0 and is_clear(lead),
                )
                for (corpus, on, claim), lead in judged.items()
                if (corpus, on) == (name, split)
            }
            if claims:
                lines += ["", "| claim | found | holds |", "|---|---|---|"]
            lines += [
                f"| {claim} | {found} | {'yes' if holds else 'no'} |"
                for claim, (found, holds) in claims.items()
            ]
            lines += _samplings(runs)
    return "\n".join(lines) + "\n"


def _table(runs: Sequence[SeedResults], numbers: Sequence[str]) -> list[str]:
    numbers = [number for number in numbers if number in runs[0]["base"]]
    lines = ["| variant | " + " | ".join(numbers) + " |", "|---" * (len(numbers) + 1) + "|"]
    for variant in runs[0]:
        row = mean_row(runs, variant)
        cells = [_said(row[number]) if number in row else "" for number in numbers]
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return lines


def _gains(runs: Sequence[SeedResults], variant: str) -> list[str]:
    """A label-aware loss against the others and the untouched model, seed by seed."""
    numbers = [number for number in GAINS if number in runs[0]["base"]]
    lines = [
        f"| {variant} minus | " + " | ".join(numbers) + " |",
        "|---" * (len(numbers) + 1) + "|",
    ]
    for rival in (name for name in RIVALS if name in runs[0] and name != variant):
        cells = [_said(gain(runs, variant, rival, number), "+") for number in numbers]
        lines.append(f"| {rival} | " + " | ".join(cells) + " |")
    return lines


def _samplings(runs: Sequence[SeedResults]) -> list[str]:
    """What the sampling does to every loss, seed by seed."""
    numbers = [number for number in GAINS if number in runs[0]["base"]]
    pairs = {loss: drawn_both_ways(loss) for loss in SAMPLINGS}
    rows = {loss: pair for loss, pair in pairs.items() if {*pair} <= runs[0].keys()}
    if not rows:
        return []
    lines = [
        "",
        "| balanced minus random | " + " | ".join(numbers) + " |",
        "|---" * (len(numbers) + 1) + "|",
    ]
    for loss, pair in rows.items():
        cells = [_said(gain(runs, *pair, number), "+") for number in numbers]
        lines.append(f"| {loss} | " + " | ".join(cells) + " |")
    return lines


def _said(estimate: Estimate, sign: str = "") -> str:
    value, low, high = (f"{estimate[end]:{sign}.3f}" for end in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
