"""The page of benchmarks.effect: means over seeds, and what is claimed of them."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.equal_kl import LEAST, MOST
from benchmarks.markdown import drawn
from pipeline.reporting.comparison import corrected, is_clear

OURS = "true_negatives"
FIXED = ("fixed_direction", "fixed_head")  # losses without a contrast
RIVALS = ("base", "infonce", "nt_xent", "supcon", *FIXED)
SAMPLINGS = {  # each loss, and the same loss with pairs drawn the other way
    "infonce": "infonce_balanced", "nt_xent": "nt_xent_balanced", "supcon": "supcon_random",
    OURS: f"{OURS}_random", **{loss: f"{loss}_random" for loss in FIXED},
}  # fmt: skip
SPLITS = ("test", "novel", "shifted")
PROBES = ("above_best_frozen", "best_above_frozen", "probe_accuracy", "best_probe")
LED = ("probe_accuracy", "best_probe", "centroid_accuracy", "silhouette")
SHOWN = (*PROBES, "centroid_accuracy", "knn_accuracy", "silhouette")
COSTS = ("scale", "kl_to_base", "kl_of_openings", "perplexity")
AS_IT_IS, MATCHED = "own", "equal_kl"
MEANINGS = {
    "above_best_frozen": "the probe where the variant is read, minus the untouched model's best",
    "best_above_frozen": "the variant's best probe, minus the untouched model's best",
    "scale": "what the finetune's change of the weights is multiplied by",
}
Estimate = Mapping[str, float]  # value, low, high, and p of a mean over seeds
Numbers = dict[str, float]  # by name
Seed = dict[str, Any]  # what benchmarks.equal_kl writes of one seed
Run = dict[str, Numbers]  # one seed's numbers on one split, by variant
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
    """A variant minus a rival, seed by seed."""
    return over_seeds([run[variant][number] - run[rival][number] for run in runs])


def in_all(runs: Sequence[Run]) -> list[str]:
    """The variants that every seed has."""
    return [name for name in runs[0] if all(name in run for run in runs)]


def leads(runs: Sequence[Run]) -> dict[str, Estimate]:
    """How far our loss parts concepts better than the others do, seed by seed, under either
    sampling: to be judged together with those of all other texts."""
    known = in_all(runs)
    return {
        f"{OURS} above {rival}{drawn_so}, {number}": gain(runs, ours, other, number)
        for rival in RIVALS[1:]
        for drawn_so, ours, other in _alike(rival)
        if ours in known and other in known
        for number in LED
    }


def _alike(rival: str) -> list[tuple[str, str, str]]:
    """Our loss and a rival on pairs that were drawn alike, balanced and at random."""
    balanced, random = drawn_both_ways(rival)
    return [(", balanced", OURS, balanced), (", random", SAMPLINGS[OURS], random)]


def drawn_both_ways(loss: str) -> tuple[str, str]:
    """A loss's variant with balanced pairs, and the one with pairs drawn at random."""
    other = SAMPLINGS[loss]
    return (other, loss) if other.endswith("_balanced") else (loss, other)


def gates(runs: Sequence[Run]) -> Claims:
    """The marks that were set for novel texts of the first generated corpus, and whether they are
    met on these."""
    found: Claims = {}
    knn = over_seeds([run["base"]["knn_accuracy"] for run in runs])["value"]
    found["base k-NN leaves headroom, 0.40 to 0.75"] = (f"{knn:.3f}", 0.40 <= knn <= 0.75)
    for number in ("knn_accuracy", "centroid_accuracy"):
        rise = gain(runs, OURS, "base", number)
        found[f"{OURS} {number} at least 0.15 above base, interval above 0"] = (
            said(rise, "+"), rise["value"] >= 0.15 and rise["low"] > 0,
        )  # fmt: skip
        moved = gain(runs, "shuffled", "base", number)["value"]
        found[f"shuffled {number} within 0.05 of base"] = (f"{moved:+.3f}", abs(moved) <= 0.05)
        values = [run[OURS][number] for run in runs]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        reached = float(np.mean(values)) >= 0.90 and spread <= 0.05
        found[f"{OURS} {number} at least 0.90, deviation over seeds at most 0.05"] = (
            f"{np.mean(values):.3f}, {spread:.3f}", reached,
        )  # fmt: skip
    before, after = (np.mean([run[name]["perplexity"] for run in runs]) for name in ("base", OURS))
    cost = float(after / before - 1)
    found[f"{OURS} perplexity within 4 % of base"] = (f"{cost:+.1%}", abs(cost) <= 0.04)
    return found


def page(report: Mapping[str, Mapping[str, Seed]], commit: str) -> str:
    """report: what was found, by corpus and seed."""
    command = " ".join(["python -m benchmarks.effect", *sys.argv[1:]])
    runs = {
        (corpus, split, how): [run_of(seed, split, how) for seed in seeds.values()]
        for corpus, seeds in report.items()
        for split in SPLITS
        if split in next(iter(seeds.values()))["words"]
        for how in (AS_IT_IS, MATCHED)
    }
    compared = {key: own for key, own in runs.items() if {*FIXED} <= own[0].keys()}
    judged = corrected(
        {(*key, claim): lead for key, own in compared.items() if key[2] == MATCHED
         for claim, lead in leads(own).items()}
    )  # fmt: skip
    numbers = sorted({seed.removeprefix("seed_") for seeds in report.values() for seed in seeds})
    lines = [
        "# The effect over seeds",
        "",
        f"Means over seeds {', '.join(numbers)}, in brackets their 95 % interval (Student's t over "
        "seeds); every seed's own numbers are in effect.json. At equal KL, every variant's change "
        f"of the weights is multiplied by the scale, from {LEAST:g} to {MOST:g}, at which its "
        f"mean KL per token from the untouched model is that of {OURS} on the same seed; a variant "
        "that does not reach it is left out. p of a lead is corrected by Holm for all "
        f"{len(judged)} leads of this page. Made by `{command}`, with the pipeline of commit "
        f"{commit}.",
        *("", *(f"- `{number}`: {meaning}." for number, meaning in MEANINGS.items())),
        *("", "## Above the best frozen probe", "", _headline(report)),
    ]  # fmt: skip
    for (corpus, split, how), own in runs.items():
        if how == MATCHED and (corpus, split, how) not in compared:
            continue  # its only finetuned variant is the reference
        at = ", at equal KL" if how == MATCHED else ""
        lines += ["", f"## {corpus}, {split} texts{at}", "", _table(own, PROBES)]
        lines += ["", _table(own, [n for n in SHOWN if n not in PROBES] + [*COSTS])]
        if (corpus, split, how) in compared:
            lines += ["", *_gains(own)]
        claims = (
            gates(own) if split == "novel" and (corpus, split, how) in compared and not at else {}
        )
        claims |= {
            claim: (f"{said(lead, '+')}, p {lead['p']:.3f}", lead["value"] > 0 and is_clear(lead))
            for (*key, claim), lead in judged.items()
            if (*key,) == (corpus, split, how)
        }
        if claims:
            rows = [[claim, found, "yes" if holds else "no"]
                    for claim, (found, holds) in claims.items()]  # fmt: skip
            lines += ["", drawn(["claim", "found", "holds"], rows)]
        lines += _samplings(own)
    return "\n".join(lines) + "\n"


def _headline(report: Mapping[str, Mapping[str, Seed]]) -> str:
    """Words alone, the untouched model's best probe, and what finetunes add to it."""
    rows = []
    for corpus, by_seed in report.items():
        seeds = [*by_seed.values()]
        for split in (split for split in SPLITS if split in seeds[0]["words"]):
            runs = [run_of(seed, split, AS_IT_IS) for seed in seeds]
            cells = [said(over_seeds([seed["words"][split] for seed in seeds]))]
            cells.append(said(over_seeds([run["base"]["best_probe"] for run in runs])))
            for number, variant in (
                ("above_best_frozen", OURS), ("best_above_frozen", OURS),
                ("best_above_frozen", FIXED[1]), ("best_above_frozen", "shuffled"),
            ):  # fmt: skip
                known = variant in runs[0]
                cells.append(said(gain_of(runs, variant, number), "+") if known else "")
            rows.append([corpus, split, *cells])
    header = ["concepts", "texts", "words alone", "best frozen probe", f"{OURS}, where it is read",
              f"{OURS}, best probe", f"{FIXED[1]}, best probe", "shuffled, best probe"]  # fmt: skip
    return drawn(header, rows)


def gain_of(runs: Sequence[Run], variant: str, number: str) -> Estimate:
    """A number that is a difference already, seed by seed."""
    return over_seeds([run[variant][number] for run in runs])


def _table(runs: Sequence[Run], numbers: Sequence[str]) -> str:
    rows = [
        [name, *(said(over_seeds([run[name][number] for run in runs])) for number in numbers)]
        for name in in_all(runs)
    ]
    return drawn(["variant", *numbers], rows)


def _gains(runs: Sequence[Run]) -> list[str]:
    """The label-aware losses against the others and the untouched model, seed by seed."""
    known, lines = in_all(runs), list[str]()
    numbers = (*LED, "kl_to_base", "kl_of_openings")
    for variant in (name for name in ("supcon", OURS) if name in known):
        rows = [
            [rival, *(said(gain(runs, variant, rival, number), "+") for number in numbers)]
            for rival in RIVALS
            if rival in known and rival != variant
        ]
        lines += ["", drawn([f"{variant} minus", *numbers], rows)]
    return lines[1:]


def _samplings(runs: Sequence[Run]) -> list[str]:
    """What the sampling does to every loss, seed by seed."""
    known = in_all(runs)
    rows = [
        [loss, *(said(gain(runs, *drawn_both_ways(loss), number), "+") for number in LED)]
        for loss in SAMPLINGS
        if {*drawn_both_ways(loss)} <= {*known}
    ]
    return ["", drawn(["balanced minus random", *LED], rows)] if rows else []


def said(estimate: Estimate, sign: str = "") -> str:
    value, low, high = (f"{estimate[end]:{sign}.3f}" for end in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
