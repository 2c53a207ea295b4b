"""Answers of a pretrained model to sets of prompts, before and after the finetune, as judges see
them.

The pipeline runs where benchmarks/monitors_real.py ran it on BeaverTails, or in a clone as it makes
one, as far as the stage `safety`. A stopped run goes on where it stood. The page is
benchmarks/results/answers_real.md.

    .venv/bin/python -m benchmarks.answers_real --data a/folder --work work/monitors
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import monitors_real
from benchmarks.monitors_real_page import BASE, CONTROL, TUNED, VARIANTS
from benchmarks.runs import commit_of, commit_of_clean
from pipeline.core.concepts import spoken
from pipeline.core.console import run
from pipeline.core.files import read_json, whole
from pipeline.core.paths import JUDGES, SAFETY, SEED_VALUES
from pipeline.core.records import OWN_PROMPTS
from pipeline.reporting.judge_tables import error_rows
from pipeline.reporting.markdown import drawn, said

LEARN = "beavertails"
ASKED = ("xstest", "jailbreaks", "refusal")  # a prompt of several sets is asked as the first one's
SETS = ("xstest", "jailbreaks", "jailbreaks_framed", "refusal")
MOST = 200  # of each kind of a set
ANSWERS = {"greedy": "likeliest", "judges": "sampled"}
RATES = {
    "harmful_rate": "Harmful prompts that are answered harmfully, or not refused",
    "attack_success": "Harmful prompts of which any answer is harmful, or no refusal",
    "refusal_rate": "Harmful prompts that are refused",
    "over_refusal_rate": "Harmless prompts that are refused",
    "refusal_gap": "Harmful prompts refused less harmless ones refused",
    "matched_refusal_gap": "The same of pairs that differ in a few words",
    "matched_over_refusal": "Harmless prompts of such pairs that are refused",
}
# BeaverTails' labels are of answers: a prompt that was answered safely may well ask for harm.
NOT_OF_OWN = ("over_refusal_rate", "refusal_gap")
PAGE = Path("benchmarks/results/answers_real.md")
Tree = Mapping[str, Any]


def main() -> None:
    options = monitors_real.parser_of(__doc__).parse_args()
    commit_of_clean(Path.cwd(), but=SEED_VALUES)
    prompts = {"folder": str(options.data.resolve()), "sets": list(ASKED), "most": MOST}
    settings = {
        "corpora": {"prompts": prompts},
        "generation": {"max_new_tokens": 32, "samples": 2},
    }
    work = options.work / LEARN
    monitors_real.score(options.data, LEARN, work, stages=("safety",), further=settings)
    clone = work / "run"
    safety = {name: read_json(clone / SAFETY / f"{name}.json") for name in VARIANTS}
    write_page(safety, read_json(clone / JUDGES), commit_of(clone))


def write_page(safety: Mapping[str, Tree], judges: Tree, commit: str) -> None:
    parts = [
        "# Answers of a pretrained model\n",
        f"SmolLM2-135M, finetuned on `{LEARN}` (`{TUNED}`), with shuffled labels (`{CONTROL}`), "
        "and untouched (`base`), answers the test prompts (`own`) and other sets' prompts. The "
        "finetune trains hidden states and no answers. In brackets: 95 % over prompts, of one "
        f"seed. Made by `python -m benchmarks.answers_real`, which says how, at commit {commit}.\n",
        "BeaverTails' labels are of answers: which of its prompts are harmless isn't known. "
        "`of`: how many prompts a rate is of, or pairs. `jailbreaks` are goals in plain words, "
        "`jailbreaks_framed` what an attacker made of them. `rule` and `substrings` know refusals "
        "alone: to them, a harmful prompt's answer is bad if it does not refuse. `fitted` and "
        "`probe` say whether an answer is harmful. Each difference is judged by itself.\n",
    ]
    for rate, title in RATES.items():
        rows = list(rows_of(safety, rate))
        header = ["answers", "prompts", "judge", "of", BASE, TUNED, "difference", CONTROL]
        parts += [f"## {title}\n", drawn(header, rows), ""]
    parts += ["## How likely helpful answers are\n", beside(safety, "helpfulness"), ""]
    header = ["judge", "labelled answers", "whether one"]
    header += ["missed", "of", "false alarms", "of", "not parsed"]
    errors = [
        [row.judge, row.labelled, row.question,
         *(cell for share in (row.missed or {}, row.false_alarms or {})
           for cell in (said(share, band=False), str(share.get("of", "")))), str(row.unparsed)]
        for row in error_rows(judges)
    ]  # fmt: skip
    parts += ["## What the judges are worth\n", drawn(header, errors), ""]
    parts += [
        "Cohen's kappa of every two, on whether sampled answers to harmful prompts are "
        "harmful, or not refused:\n"
    ]
    parts += [beside(safety, "agreement"), ""]
    with whole(PAGE) as draft:
        draft.write_text("\n".join(parts), encoding="utf-8")


def rows_of(safety: Mapping[str, Tree], rate: str) -> Iterator[list[str]]:
    """A rate of every judge on every set, of all variants, those that have it."""
    for way, answers in ANSWERS.items():
        for judge, own in safety[BASE].get(way, {}).items():
            for prompts in SETS if rate in NOT_OF_OWN else (OWN_PROMPTS, *SETS):
                if not (first := own.get(prompts, {}).get(rate)):
                    continue
                values = {name: safety[name][way][judge][prompts][rate] for name in VARIANTS}
                apart = safety[TUNED]["difference"][way][judge][prompts][rate]
                yield [
                    answers, prompts, spoken(judge), str(first.get("of", "")),
                    *(said(values[name], band=False) for name in (BASE, TUNED)),
                    said(apart, "+", band=False), said(values[CONTROL], band=False),
                ]  # fmt: skip


def beside(safety: Mapping[str, Tree], name: str) -> str:
    """A number of every variant, or a row for each of several under one name; those that all
    have."""
    trees = {variant: safety[variant].get(name, {}) for variant in VARIANTS}
    if "value" in trees[BASE]:
        trees = {variant: {name: tree} for variant, tree in trees.items()}
    rows = [
        [spoken(row), *(said(tree[row], band=False) for tree in trees.values())]
        for row in trees[BASE]
        if all(row in tree for tree in trees.values())
    ]
    return drawn(["", *trees], rows)


if __name__ == "__main__":
    run(main)
