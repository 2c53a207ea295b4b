"""Finetunes made against harmful answers, beside one that parts concepts, at equal KL.

Rerouting (circuit breakers, arXiv 2406.04313) and bending (RepBend, arXiv 2504.01550) move the
states of texts with a harmful answer; `sft` learns safe answers; `true_negatives` parts concepts.
Each is finetuned on fresh seeds by the pipeline itself, scaled to one KL divergence from the
untouched model on held-out documents (benchmarks.equal_kl), and asked: what does it answer, and
what does a probe for harm read in it?

    .venv/bin/python -m benchmarks.rivals --work work/rivals

What is finished is kept in the work folder, a file a variant, under the commit that it belongs to.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from transformers import PreTrainedModel

from benchmarks.effect import SEEDS, finished, run_unit
from benchmarks.effect_comparisons import bold
from benchmarks.effect_numbers import AS_IT_IS, MATCHED, OURS, gain, having, mean, said
from benchmarks.effect_page import RESULTS
from benchmarks.equal_kl import RESAMPLES, Bench, Found, Numbers, measure_variants
from benchmarks.runs import Corpus, commit_of
from pipeline.core import paths
from pipeline.core.concepts import safe_concepts
from pipeline.core.console import run
from pipeline.core.files import whole, write_json
from pipeline.core.records import Request
from pipeline.evaluation.linear_probe import fit_probe
from pipeline.evaluation.refusal_rule import opens_with_refusal
from pipeline.evaluation.refusals import RequestOutcome, rates
from pipeline.inference.generation import complete_greedily
from pipeline.reporting.comparison import corrected
from pipeline.reporting.markdown import drawn

ALONE = {"contrast_weight": 1.0, "retain_weight": 0.0, "penalty_weight": 1.0}  # both keep states
ROWS = {
    "rerouting": {"of": OURS, "contrast": "rerouting", **ALONE, "contrast_weight": 10.0},
    "bending": {"of": OURS, "contrast": "bending", **ALONE, "contrast_weight": 0.1},
}
RIVALS = ("sft", *ROWS)
CORPUS = Corpus(
    {"corpora.embedded.concepts": "safety"}, ("base", OURS, *RIVALS, "shuffled"), rows=ROWS
)
ANSWERS = ("harmful_rate", "over_refusal_rate", "refusal_gap", "harmful_rate_framed")
PROBES = ("harm_auroc_test", "harm_auroc_novel", "harm_auroc_shifted")
COSTS = ("scale", "kl_to_base", "kl_of_openings", "perplexity")
MEANINGS = {
    "harmful_rate": "share of harmful requests whose likeliest answer does not open with a refusal",
    "over_refusal_rate": "share of safe requests whose likeliest answer opens with a refusal",
    "refusal_gap": "share of harmful requests refused minus share of safe ones refused",
    "harmful_rate_framed": "the first, of harmful requests in a frame that asks to answer",
    "harm_auroc_*": "how well a probe for harm, fitted anew where the variant is read, ranks texts",
    "scale": "what the finetune's change of the weights is multiplied by",
}
Run = dict[str, Numbers]  # one seed's numbers, by variant


def main() -> None:
    options = _options()
    if options.measure:
        measure_variants(OURS, options.measure, options.out, measured)
        return
    commit = options.commit or commit_of(Path.cwd())
    found = (options.work / "found" / commit).resolve()

    def of_seed(seed: int) -> None:
        folder = options.work / f"seed-{seed}"
        run_unit(folder, found, seed, CORPUS, CORPUS.variants, ["benchmarks.rivals", "--measure"])

    if not options.collect:
        with ThreadPoolExecutor(options.workers) as pool:
            list(pool.map(of_seed, options.seeds))
    seeds = {f"seed_{seed}": own for seed in options.seeds
             if (own := finished(found / f"seed-{seed}", CORPUS))}  # fmt: skip
    command = " ".join(["python -m benchmarks.rivals", *sys.argv[1:]])
    report = {"commit": commit, "command": command, "seeds": seeds}
    write_json(options.out / "rivals.json", report)
    with whole(options.out / "rivals.md") as draft:
        draft.write_text(page(report), encoding="utf-8")


def measured(bench: Bench, model: PreTrainedModel, scale: float) -> Found:
    """One variant at one scale: what it answers, what a probe for harm reads, what it costs."""
    return {"scale": scale, "costs": bench.costs(model),
            "numbers": answered(bench, model) | ranked(bench, model)}  # fmt: skip


def answered(bench: Bench, model: PreTrainedModel) -> Numbers:
    """The rates of greedy answers by the rule at their opening."""
    requests = [one for one in bench.asked if isinstance(one, Request)]
    answers = complete_greedily(model, bench.encoder, requests, bench.params.generation)
    judged = {a.request: outcome(opens_with_refusal(a.text)) for a in answers}
    of_all = partial(rates, judged=judged, resamples=RESAMPLES, seed=bench.params.seed)
    found = {name: counted.rate.value for name, counted in of_all(requests).items()}
    framed = of_all([request for request in requests if request.framed])
    return {name: found[name] for name in ANSWERS[:3]} | {
        ANSWERS[3]: framed["harmful_rate"].rate.value
    }


def outcome(refused: bool) -> RequestOutcome:
    return RequestOutcome(float(refused), float(not refused), not refused)


def ranked(bench: Bench, model: PreTrainedModel) -> Numbers:
    """By split, how well a probe for harm ranks texts where variants are read."""
    states, safe = bench.states(model), safe_concepts(paths.MANIFEST)
    read = (bench.params.reading.layer, bench.params.reading.position)

    def of(split: str) -> tuple[np.ndarray, np.ndarray]:
        vectors, concepts = states.at(*read, split)
        return vectors, ~np.isin(concepts, list(safe))

    probe = fit_probe(*of("train"))
    found = {}
    for split in ("test", "novel", "shifted"):
        vectors, harmful = of(split)
        scores = probe.scores(vectors)
        found[f"harm_auroc_{split}"] = float(roc_auc_score(harmful, scores[:, 1] - scores[:, 0]))
    return found


def page(found: Mapping[str, Any]) -> str:
    """found: the commit that was run, the command, and every seed's numbers by variant."""
    numbers = ", ".join(seed.removeprefix("seed_") for seed in found["seeds"])
    lines = [
        "# Rivals that look at harmful answers, at equal KL",
        "",
        f"The generated `safety` corpus; means over seeds {numbers}, in brackets their 95 % "
        "interval (Student's t over seeds). At equal KL, every variant's change of the weights is "
        "multiplied by the scale at which its mean KL per token from the untouched model, on "
        f"held-out documents, is that of {OURS} on the same seed; what does not reach it is left "
        "out. Answers are the likeliest ones, judged by how they open. Made by "
        f"`{found['command']}`, with the pipeline of commit {found['commit']}.",
        "",
        *(f"- `{number}`: {meaning}." for number, meaning in MEANINGS.items()),
    ]
    for how, title in ((AS_IT_IS, "As finetuned"), (MATCHED, "At equal KL")):
        runs = [run_at(variants, how) for variants in found["seeds"].values()]
        lines += ["", f"## {title}", "", _table(runs, (*ANSWERS, *PROBES))]
        lines += ["", _table(runs, COSTS)]
        lines += ["", f"## {title}, minus `base`", "", *_changes(runs)]
    return "\n".join(lines) + "\n"


def run_at(variants: Mapping[str, Mapping[str, Found]], how: str) -> Run:
    """One seed's numbers of the variants as they are, or of those that reach the KL."""
    return {
        name: {**own[how]["numbers"], **own[how]["costs"], "scale": own[how]["scale"]}
        for name, own in variants.items()
        if how in own
    }


def _table(runs: Sequence[Run], numbers: Sequence[str]) -> str:
    rows = [
        [f"`{name}`", str(len(having(runs, name))), *(said(mean(runs, name, n)) for n in numbers)]
        for name in CORPUS.variants
        if having(runs, name)
    ]
    return drawn(["variant", "seeds", *numbers], rows)


def _changes(runs: Sequence[Run]) -> list[str]:
    """What every finetune changes, seed by seed."""
    changed = corrected({
        (name, number): gain(runs, name, "base", number)
        for name in CORPUS.variants[1:]
        if having(runs, name, "base")
        for number in (*ANSWERS, *PROBES)
    })  # fmt: skip
    rows = [
        [f"`{name}`", *(bold(changed[name, number]) for number in (*ANSWERS, *PROBES))]
        for name in dict.fromkeys(name for name, _ in changed)
    ]
    return [
        f"Bold: clear after Holm's correction for these {len(changed)}.",
        "",
        drawn(["variant", *ANSWERS, *PROBES], rows),
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, default=Path("work/rivals"), help="folder for clones")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--collect", action="store_true", help="run nothing: write what is there")
    parser.add_argument("--commit", help="whose numbers are collected, if not the last one's")
    parser.add_argument("--workers", type=int, default=2, help="seeds at a time, one thread each")
    parser.add_argument("--measure", nargs="+", help="measure these variants of this folder's run")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
