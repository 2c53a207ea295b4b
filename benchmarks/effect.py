"""Does the finetune do what it is for, and what in it does the work? Over seeds and corpora.

Runs the pipeline itself in clones of the last commit, for fixed step counts, with every loss and
its controls, and holds the means over seeds against what is claimed. What is claimed of the whole
method is read on `novel` texts, whose content words were never labelled.

    .venv/bin/python -m benchmarks.effect --work work/effect
"""

import argparse
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.common import REAL
from benchmarks.effect_page import FIXED, OURS, RIVALS, SAMPLINGS, Numbers, SeedResults, page
from benchmarks.runs import Corpus, clone, commit_of, repro, set_params
from pipeline.core.files import read_json, whole, write_json
from pipeline.core.params import load_params
from pipeline.core.records import CONTROLS, HEADLINE

RESULTS = Path("benchmarks/results")
# Numbers of linear probes, and where they stand in metrics/separation.
PROBES = {"probe_accuracy": "read", "best_probe": "best", "above_best_frozen": "above_frozen"}
COSTS = ("perplexity", "kl_of_openings", "harmful_rate", "over_refusal_rate", "refusal_gap")


# Every loss with the pairs that its variant in params.yaml has, and with the others: only what a
# loss gains under both samplings is the loss's own. The rivals without a contrast stand here alone.
ROWS = {
    **{f"{loss}_balanced": {"of": loss, "sampling": "balanced"} for loss in ("infonce", "nt_xent")},
    **{f"{loss}_random": {"of": loss, "sampling": "random"} for loss in ("supcon", OURS)},
    **{loss: {"of": OURS, "contrast": loss} for loss in FIXED},
    **{f"{loss}_random": {"of": OURS, "contrast": loss, "sampling": "random"} for loss in FIXED},
    # Labels by length are learned like the given ones, but are not what is measured.
    "length": {"of": OURS, "labels": "length"},
}
LOSSES = (*RIVALS, *SAMPLINGS.values(), OURS)
CORPORA = {
    "safety": Corpus(
        {"corpora.embedded.concepts": "safety"}, (*LOSSES, "shuffled", "length"), rows=ROWS
    ),
    "safety, random base": Corpus(
        {"corpora.embedded.concepts": "safety", "pretraining.steps": 0},
        ("base", OURS),
        stages=("separation", "monitors", "fidelity", "safety"),
    ),
    "topics": Corpus({"corpora.embedded.concepts": "topics"}, (*LOSSES, "shuffled"), rows=ROWS),
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
        rows=ROWS,
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
        draft.write_text(page(report, commit_of(Path.cwd())), encoding="utf-8")
    print((options.out / "effect.md").read_text(encoding="utf-8"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, required=True, help="folder for the clones")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=load_params().seeds)
    parser.add_argument("--corpora", nargs="*", choices=[*CORPORA], default=[*CORPORA])
    parser.add_argument(
        "--real", type=Path, default=REAL if REAL.is_dir() else None, help="folder of tables"
    )
    parser.add_argument("--workers", type=int, default=2, help="seeds at a time, one thread each")
    return parser.parse_args()


def _run_seed(
    work: Path, corpora: Mapping[str, Corpus], seed: int
) -> dict[str, dict[str, SeedResults]]:
    """Every corpus with one seed, by split, in a clone of its own: DVC keeps what they share."""
    folder = clone(work / f"seed-{seed}")
    found: dict[str, dict[str, SeedResults]] = {}
    for name, corpus in corpora.items():
        set_params(folder, seed, corpus)
        repro(folder, corpus.stages)
        found[name] = {split: _read(folder, corpus, split) for split in corpus.splits}
        print(name, seed, _line(found[name][corpus.splits[0]]), flush=True)
    return found


def _read(folder: Path, corpus: Corpus, split: str) -> SeedResults:
    """Per variant: number -> estimate; `text_only` is what TF-IDF gives on the same tokens."""
    params = YAML(typ="safe").load((folder / "params.yaml").read_text(encoding="utf-8"))
    reading, asking = params["reading"], params["asking"]
    rows: SeedResults = {}
    for name in corpus.variants:
        trees: dict[str, Any] = {
            stage: read_json(folder / "metrics" / stage / f"{name}.json") for stage in corpus.stages
        }
        separation = trees["separation"][f"layer_{reading['layer']}"][reading["position"]]
        row = {
            f"{number}{end}": trees["separation"]["probes"][probe][scored]
            for end, scored in {"": split, "_shifted": "shifted"}.items()
            for number, probe in PROBES.items()
            if scored in trees["separation"]["probes"][probe]
        }
        row |= {
            number: separation[split][number]
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
            interpreted = trees["selfie"][f"layer_{asking['layer']}"][split][asking["positions"][0]]
            row["selfie_accuracy"] = interpreted["state"]
            controls = [interpreted[control] for control in CONTROLS]
            row["selfie_best_control"] = max(controls, key=lambda e: float(e["value"]))
        rows[name] = row
    words = read_json(folder / "metrics" / "text_only.json")
    rows["text_only"] = {
        f"probe_accuracy{end}": words["concept"]["whole"][scored]["accuracy"]
        for end, scored in {"": split, "_shifted": "shifted"}.items()
        if scored in words["concept"]["whole"]
    }
    if "harm" in words:
        rows["text_only"]["monitor_auroc"] = words["harm"]["whole"][split]["auroc"]
    return rows


def _line(rows: Mapping[str, Numbers]) -> str:
    return "; ".join(
        f"{name}: " + ", ".join(f"{k} {e['value']:.3f}" for k, e in row.items())
        for name, row in rows.items()
    )


if __name__ == "__main__":
    main()
