"""The page of benchmarks.effect: means over seeds, and what is claimed of them.

    python -m benchmarks.effect_page

writes effect.md anew from effect.json.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.effect_comparisons import (
    gains,
    holds,
    other_contrasts,
    other_pairs,
    samplings,
    without_a_contrast,
)
from benchmarks.effect_numbers import (
    AS_IT_IS,
    FEWEST,
    FIXED,
    MATCHED,
    OURS,
    SPLITS,
    Run,
    Seed,
    gates,
    having,
    leads,
    mean,
    over_seeds,
    run_of,
    said,
)
from benchmarks.scaling import LEAST, MOST
from pipeline.core.files import read_json, whole
from pipeline.reporting.comparison import corrected
from pipeline.reporting.markdown import drawn
from pipeline.reporting.markdown import said as in_short

RESULTS = Path("benchmarks/results")
PROBES = ("above_best_frozen", "best_above_frozen", "probe_accuracy", "best_probe")
SHOWN = (*PROBES, "centroid_accuracy", "knn_accuracy", "silhouette")
COSTS = ("scale", "kl_to_base", "kl_of_openings", "perplexity")
MEANINGS = {
    "above_best_frozen": "the probe where the variant is read, minus the untouched model's best",
    "best_above_frozen": "the variant's best probe, minus the untouched model's best",
    "scale": "what the finetune's change of the weights is multiplied by",
}
Key = tuple[str, str, str]  # concepts, split, and whether at equal KL


def main() -> None:
    renew(RESULTS)


def renew(folder: Path) -> None:
    """Write effect.md of effect.json."""
    text = page(read_json(folder / "effect.json"))
    with whole(folder / "effect.md") as draft:
        draft.write_text(text, encoding="utf-8")


def page(found: Mapping[str, Any]) -> str:
    """found: the commit that was run, the command, and every seed's numbers by corpus."""
    report: dict[str, Mapping[str, Seed]] = {
        name: seeds for name, seeds in found["corpora"].items() if len(seeds) >= FEWEST
    }
    runs = {
        (corpus, split, how): [run_of(seed, split, how) for seed in seeds.values()]
        for corpus, seeds in report.items()
        for split in SPLITS
        if split in next(iter(seeds.values()))["words"]
        for how in (AS_IT_IS, MATCHED)
    }
    compared = {key: own for key, own in runs.items() if having(own, OURS, *FIXED, "shuffled")}
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
        f"mean KL per token from the untouched model is that of {OURS} on the same seed; a seed "
        "of a variant that does not reach it is left out, and so is what fewer than "
        f"{FEWEST} seeds have. p of a lead is corrected by Holm for all "
        f"{len(judged)} leads of this page. Made by `{found['command']}`, with the pipeline of "
        f"commit {found['commit']}.",
        *("", *(f"- `{number}`: {meaning}." for number, meaning in MEANINGS.items())),
        *("", "## In short", "", *_short(report, compared)),
        *("", "## Above the best frozen probe", "", _headline(report)),
        *("", "## Is contrast needed?", "", *without_a_contrast(runs, judged)),
        *("", "## Which contrast?", "", *other_contrasts(runs)),
        *("", "## Which pairs?", "", *other_pairs(runs)),
    ]  # fmt: skip
    for (corpus, split, how), own in runs.items():
        if how == MATCHED and (corpus, split, how) not in compared:
            continue  # its only finetuned variant is the reference
        at = ", at equal KL" if how == MATCHED else ""
        lines += ["", f"## {corpus}, {split} texts{at}", "", _table(own, PROBES)]
        lines += ["", _table(own, [n for n in SHOWN if n not in PROBES] + [*COSTS])]
        if (corpus, split, how) in compared:
            lines += ["", *gains(own)]
        claims = (
            gates(own) if split == "novel" and (corpus, split, how) in compared and not at else {}
        )
        claims |= {
            claim: (f"{said(lead, '+')}, p {lead['p']:.3f}", holds(lead))
            for (*key, claim), lead in judged.items()
            if (*key,) == (corpus, split, how)
        }
        if claims:
            rows = [[claim, found, "yes" if holds else "no"]
                    for claim, (found, holds) in claims.items()]  # fmt: skip
            lines += ["", drawn(["claim", "found", "holds"], rows)]
        lines += samplings(own)
    return "\n".join(lines) + "\n"


def _short(
    report: Mapping[str, Mapping[str, Seed]], compared: Mapping[Key, Sequence[Run]]
) -> list[str]:
    """The best probe of the finetuned model beside that of the untouched one."""
    own = {key[:2]: runs for key, runs in compared.items() if key[2] == AS_IT_IS}
    gains = corrected({key: mean(runs, OURS, "best_above_frozen") for key, runs in own.items()})
    rows = []
    for (corpus, split), runs in own.items():
        words = over_seeds([seed["words"][split] for seed in report[corpus].values()])
        shown = {  # with its sign, where it is a change that is judged
            "words": (words, ""), "base": (mean(runs, "base", "best_probe"), ""),
            "ours": (gains[corpus, split], "+"),
            "control": (mean(runs, "shuffled", "best_above_frozen"), ""),
        }  # fmt: skip
        cells = [in_short(found, sign, short=True, band=False) for found, sign in shown.values()]
        rows.append([corpus, split, *cells])
    return [
        "The share of texts whose concept the best linear probe reads, chosen among all layers and "
        f"positions on validation texts. Bold: clear after Holm's correction for {len(rows)}.",
        "",
        drawn(["concepts", "texts", "words alone", "`base`", f"`{OURS}` minus `base`",
               "`shuffled` minus `base`"], rows),
    ]  # fmt: skip


def _headline(report: Mapping[str, Mapping[str, Seed]]) -> str:
    """Words alone, the untouched model's best probe, and what finetunes add to it."""
    rows = []
    for corpus, by_seed in report.items():
        seeds = [*by_seed.values()]
        for split in (split for split in SPLITS if split in seeds[0]["words"]):
            runs = [run_of(seed, split, AS_IT_IS) for seed in seeds]
            cells = [said(over_seeds([seed["words"][split] for seed in seeds]))]
            cells.append(said(mean(runs, "base", "best_probe")))
            for number, variant in (
                ("above_best_frozen", OURS), ("best_above_frozen", OURS),
                ("best_above_frozen", FIXED[1]), ("best_above_frozen", "shuffled"),
            ):  # fmt: skip
                known = having(runs, variant)
                cells.append(said(mean(runs, variant, number), "+") if known else "")
            rows.append([corpus, split, *cells])
    header = ["concepts", "texts", "words alone", "best frozen probe", f"{OURS}, where it is read",
              f"{OURS}, best probe", f"{FIXED[1]}, best probe", "shuffled, best probe"]  # fmt: skip
    return drawn(header, rows)


def _table(runs: Sequence[Run], numbers: Sequence[str]) -> str:
    rows = [
        [name, str(len(having(runs, name))), *(said(mean(runs, name, n)) for n in numbers)]
        for name in dict.fromkeys(name for run in runs for name in run)
        if having(runs, name)
    ]
    return drawn(["variant", "seeds", *numbers], rows)


if __name__ == "__main__":
    main()
