"""The page of benchmarks.effect: means over seeds, and what is claimed of them.

    python -m benchmarks.effect_page

writes effect.md anew from effect.json.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.effect_numbers import (
    AS_IT_IS,
    FIXED,
    LED,
    MATCHED,
    OURS,
    RIVALS,
    SAMPLINGS,
    SPLITS,
    Estimate,
    Run,
    Seed,
    drawn_both_ways,
    gain,
    in_all,
    leads,
    over_seeds,
    run_of,
)
from benchmarks.equal_kl import LEAST, MOST
from pipeline.core.files import read_json, whole
from pipeline.reporting.comparison import corrected, is_clear
from pipeline.reporting.markdown import drawn

RESULTS = Path("benchmarks/results")
PROBES = ("above_best_frozen", "best_above_frozen", "probe_accuracy", "best_probe")
SHOWN = (*PROBES, "centroid_accuracy", "knn_accuracy", "silhouette")
COSTS = ("scale", "kl_to_base", "kl_of_openings", "perplexity")
MEANINGS = {
    "above_best_frozen": "the probe where the variant is read, minus the untouched model's best",
    "best_above_frozen": "the variant's best probe, minus the untouched model's best",
    "scale": "what the finetune's change of the weights is multiplied by",
}
Claims = dict[str, tuple[str, bool]]  # what was found, and whether it holds


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


def main() -> None:
    renew(RESULTS)


def renew(folder: Path) -> None:
    """Write effect.md of effect.json."""
    text = page(read_json(folder / "effect.json"))
    with whole(folder / "effect.md") as draft:
        draft.write_text(text, encoding="utf-8")


def page(found: Mapping[str, Any]) -> str:
    """found: the commit that was run, the command, and every seed's numbers by corpus."""
    report: Mapping[str, Mapping[str, Seed]] = found["corpora"]
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
        f"{len(judged)} leads of this page. Made by `{found['command']}`, with the pipeline of "
        f"commit {found['commit']}.",
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


if __name__ == "__main__":
    main()
