"""Does the finetune do what it is for, and what in it does the work? Over seeds and corpora.

Runs the pipeline itself in clones of the last commit, for fixed step counts, with every loss and
its controls, and holds the means over seeds against what is claimed. What is claimed of the whole
method is read on `novel` texts, whose content words were never labelled.

    .venv/bin/python -m benchmarks.effect --work work/effect
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML
from scipy import stats

from benchmarks.common import REAL
from benchmarks.runs import Corpus, clone, commit_of, repro, set_params
from pipeline.core.files import read_json, whole, write_json
from pipeline.core.records import CONTROLS, HEADLINE

OURS = "true_negatives"
RIVALS = ("base", "infonce", "nt_xent", "supcon")
LOSSES = (*RIVALS, OURS)
RESULTS = Path("benchmarks/results")
COSTS = ("perplexity", "kl_of_openings", "harmful_rate", "over_refusal_rate")
SHORT = ("centroid_accuracy", "silhouette", "monitor_auroc", "selfie_accuracy", "kl_of_openings")
GAINS = (*SHORT[:3], "monitor_auroc_shifted", *SHORT[3:])
Estimate = dict[str, float]  # value, low, high
Row = dict[str, Estimate]  # by number
Run = dict[str, Row]  # by variant
Claims = dict[str, tuple[str, bool]]  # what was found, and whether it holds


# Labels by length are learned like the given ones, but are not what is measured.
LENGTH = {"length": {"of": OURS, "labels": "length"}}
CORPORA = {
    "safety": Corpus(
        {"corpora.embedded.concepts": "safety"}, (*LOSSES, "shuffled", "length"), rows=LENGTH
    ),
    "safety, random base": Corpus(
        {"corpora.embedded.concepts": "safety", "pretraining.steps": 0},
        ("base", OURS),
        stages=("separation", "monitors", "fidelity", "safety"),
    ),
    "topics": Corpus({"corpora.embedded.concepts": "topics"}, (*LOSSES, "shuffled")),
}


def real(folder: Path) -> Corpus:
    """A folder of tables with the columns prompt, response and value; harmless ones are `safe`."""
    return Corpus(
        {
            "corpora.source": "csv",
            "corpora.csv.folder": str(folder.resolve()),
            "corpora.csv.label": "value",
            "pretraining.steps": 400,
        },
        (*LOSSES, "shuffled"),
        splits=("test",),
        stages=("separation", "monitors", "fidelity"),
    )


def main() -> None:
    options = _options()
    corpora = {name: CORPORA[name] for name in options.corpora}
    if options.real:
        corpora[options.real.name] = real(options.real)
    with ThreadPoolExecutor(options.workers) as pool:
        seeds = list(pool.map(partial(_run_seed, options.work, corpora), options.seeds))
    report = {
        name: {
            split: {
                f"seed_{seed}": found[name][split]
                for seed, found in zip(options.seeds, seeds, strict=True)
            }
            for split in corpus.splits
        }
        for name, corpus in corpora.items()
    }
    write_json(options.out / "effect.json", report)
    with whole(options.out / "effect.md") as draft:
        draft.write_text(_page(report, commit_of(Path.cwd())), encoding="utf-8")
    print((options.out / "effect.md").read_text(encoding="utf-8"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, required=True, help="folder for the clones")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--corpora", nargs="*", choices=[*CORPORA], default=[*CORPORA])
    parser.add_argument(
        "--real", type=Path, default=REAL if REAL.is_dir() else None, help="folder of tables"
    )
    parser.add_argument("--workers", type=int, default=2, help="seeds at a time, one thread each")
    return parser.parse_args()


# Running


def _run_seed(work: Path, corpora: Mapping[str, Corpus], seed: int) -> dict[str, dict[str, Run]]:
    """Every corpus with one seed, by split, in a clone of its own: DVC keeps what they share."""
    folder = clone(work / f"seed-{seed}")
    found: dict[str, dict[str, Run]] = {}
    for name, corpus in corpora.items():
        set_params(folder, seed, corpus)
        repro(folder, corpus.stages)
        found[name] = {split: _read(folder, corpus, split) for split in corpus.splits}
        print(name, seed, _line(found[name][corpus.splits[0]]), flush=True)
    return found


def _read(folder: Path, corpus: Corpus, split: str) -> Run:
    """Per variant: number -> estimate; `text_only` is what TF-IDF gives on the same tokens."""
    params = YAML(typ="safe").load((folder / "params.yaml").read_text(encoding="utf-8"))
    reading, asking = params["reading"], params["asking"]
    rows: Run = {}
    for name in corpus.variants:
        trees: dict[str, Any] = {
            stage: read_json(folder / "metrics" / stage / f"{name}.json") for stage in corpus.stages
        }
        place = trees["separation"][f"layer_{reading['layer']}"][reading["position"]]
        row = {
            number: place[split][number]
            for number in ("centroid_accuracy", "knn_accuracy", "silhouette")
        }
        asked = trees["monitors"]
        scored = asked.get("harm", asked["concept"])[HEADLINE]
        row["monitor_auroc"] = scored[split]["auroc"]
        if "shifted" in scored:  # the same concepts in a second corpus' words
            row["monitor_auroc_shifted"] = scored["shifted"]["auroc"]
        costs = trees["fidelity"] | trees.get("safety", {})
        row |= {number: costs[number] for number in COSTS if number in costs}
        if "selfie" in trees:
            said = trees["selfie"][f"layer_{asking['layer']}"][split][asking["positions"][0]]
            row["selfie_accuracy"] = said["state"]
            controls = [said[control] for control in CONTROLS]
            row["selfie_best_control"] = max(controls, key=lambda e: float(e["value"]))
        rows[name] = row
    words = read_json(folder / "metrics" / "text_only.json")
    rows["text_only"] = {"centroid_accuracy": words["concept"]["whole"][split]["accuracy"]}
    if "harm" in words:
        rows["text_only"]["monitor_auroc"] = words["harm"]["whole"][split]["auroc"]
    return rows


# Telling


def over_seeds(values: Sequence[float]) -> Estimate:
    """The mean over seeds and its 95 % interval by Student's t; one seed has none."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return {"value": mean, "low": mean, "high": mean}
    reach = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return {"value": mean, "low": mean - float(reach), "high": mean + float(reach)}


def mean_row(runs: Sequence[Run], variant: str) -> Row:
    """Every number of a variant over seeds."""
    return {
        number: over_seeds([run[variant][number]["value"] for run in runs])
        for number in runs[0][variant]
    }


def gain(runs: Sequence[Run], variant: str, rival: str, number: str) -> Estimate:
    """A variant minus a rival, seed by seed."""
    return over_seeds([run[variant][number]["value"] - run[rival][number]["value"] for run in runs])


def gates(runs: Sequence[Run]) -> Claims:
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
        drift = gain(runs, "shuffled", "base", number)["value"]
        found[f"shuffled {number} within 0.05 of base"] = (f"{drift:+.3f}", abs(drift) <= 0.05)
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


def leads(runs: Sequence[Run]) -> Claims:
    """Whether our loss parts concepts better than the others do, seed by seed."""
    return {
        f"{OURS} above {rival}, {number}": (_said(lead, "+"), lead["low"] > 0)
        for rival in RIVALS[1:]
        if rival in runs[0]
        for number in ("centroid_accuracy", "silhouette", "monitor_auroc")
        for lead in [gain(runs, OURS, rival, number)]
    }


def _page(report: Mapping[str, Mapping[str, Mapping[str, Run]]], commit: str) -> str:
    command = " ".join(["python -m benchmarks.effect", *sys.argv[1:]])
    seeds = len(next(iter(next(iter(report.values())).values())))
    lines = [
        "# The effect over seeds",
        "",
        f"Means over {seeds} seeds, in brackets their 95 % interval (Student's t over seeds); "
        f"every seed's own numbers are in effect.json. Made by `{command}`, "
        f"with the pipeline of commit {commit}.",
    ]
    for name, by_split in report.items():
        for split, by_seed in by_split.items():
            runs = list(by_seed.values())
            lines += ["", f"## {name}, {split} texts", "", *_table(runs, SHORT)]
            lines += ["", *_table(runs, [n for n in runs[0]["base"] if n not in SHORT])]
            for variant in (name for name in ("supcon", OURS) if name in runs[0]):
                lines += ["", *_gains(runs, variant)]
            whole_road = "selfie_accuracy" in runs[0]["base"]
            claims = (gates(runs) if whole_road and split == "novel" else {}) | leads(runs)
            if claims:
                lines += ["", "| claim | found | holds |", "|---|---|---|"]
            lines += [
                f"| {claim} | {found} | {'yes' if holds else 'no'} |"
                for claim, (found, holds) in claims.items()
            ]
    return "\n".join(lines) + "\n"


def _table(runs: Sequence[Run], numbers: Sequence[str]) -> list[str]:
    numbers = [number for number in numbers if number in runs[0]["base"]]
    lines = ["| variant | " + " | ".join(numbers) + " |", "|---" * (len(numbers) + 1) + "|"]
    for variant in runs[0]:
        row = mean_row(runs, variant)
        cells = [_said(row[number]) if number in row else "" for number in numbers]
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return lines


def _gains(runs: Sequence[Run], variant: str) -> list[str]:
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


def _said(estimate: Estimate, sign: str = "") -> str:
    value, low, high = (f"{estimate[end]:{sign}.3f}" for end in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _line(rows: Mapping[str, Row]) -> str:
    return "; ".join(
        f"{name}: " + ", ".join(f"{k} {e['value']:.3f}" for k, e in row.items())
        for name, row in rows.items()
    )


if __name__ == "__main__":
    main()
