"""The page of attacks on monitors of a pretrained model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.monitors_real_page import BASE, TUNED, told
from benchmarks.real_sets import BESIDE
from pipeline.core.concepts import spoken
from pipeline.core.files import whole
from pipeline.core.records import ATTACKS, UNATTACKED
from pipeline.reporting.hiding_tables import Hiding, hiding_rows, protection
from pipeline.reporting.markdown import drawn
from pipeline.reporting.monitor_matrix import AUROC
from pipeline.reporting.short_headline import OF_RECALL

LEARN = "refusal"
JAILBREAK = "jailbreak"
FURTHER_STEPS = 20
ATTACKED = {
    "texts": 24,
    "monitors": ["logistic", "mlp", "attention_pooled"],
    "suffix_tokens": 8,
    "passes": 96,
    "swaps": 13,
}
# As hiding_rows has its numbers.
HIDDEN = (
    "found, frozen",
    "found, refitted",
    "false alarms, frozen",
    "false alarms, refitted",
    "at 1 %, frozen",
    "at 1 %, refitted",
    "AUROC, frozen",
    "AUROC, refitted",
    "silhouette",
    "KL of answers",
)
PAGE = Path("benchmarks/results/attacks_real.md")
Tree = Mapping[str, Any]


def write_page(
    goals: int,
    real: Mapping[str, Tree],
    suffixes: Mapping[str, Tree],
    hiding: Hiding,
    maths: Hiding,
    commit: str,
) -> None:
    rate = next(n for n in real[BASE]["logistic"][UNATTACKED] if n.startswith("tpr_for_"))
    alarms = rate.removeprefix("tpr_for_")
    what = f"Found at a threshold for {spoken(alarms)} false alarms"
    parts = [
        "# Attacks on monitors of a pretrained model\n",
        f"SmolLM2-135M, finetuned (`{TUNED}`) and untouched (`{BASE}`); monitors are fitted on the "
        f"prompts of `{LEARN}`, and read their ends. {what} among validation texts; at 1 %: where "
        "so many of the harmless prompts raise an alarm. In brackets: 95 % over texts, of one "
        f"seed. Made by `python -m benchmarks.attacks_real`, which says how, at commit {commit}.\n",
        "## Jailbreaks beside plain requests of the same goals\n",
        f"{goals} goals whose jailbreak worked on the model that it was made for, none of them "
        f"nearly a prompt that was learned from, and {BESIDE} harmless instructions, which nobody "
        "framed: a monitor may find a jailbreak by its form.\n",
        table_of(real, (UNATTACKED, JAILBREAK), rate),
        "\n## Suffixes behind held-out harmful prompts\n",
        f"{ATTACKED['texts']} prompts, {ATTACKED['suffix_tokens']} tokens, {ATTACKED['passes']} "
        "forward passes for each; one with a gradient counts as three.\n",
        table_of(suffixes, (UNATTACKED, *ATTACKS), rate),
        "\n## Trained to hide from the monitor\n",
        f"{FURTHER_STEPS} steps each, against the logistic monitor that was "
        "fitted before (frozen), while answers stay; beside them, one fitted anew (refitted). No "
        "text of this set was answered: safe answers are one refusal, given to harmful prompts.\n",
        hiding_table(hiding, alarms),
        "",
        *protection(hiding, alarms),
        "\n## Finetuned on something else\n",
        f"{FURTHER_STEPS} steps on solved problems of MATH, as anyone would finetune a model. "
        "The columns are those above.\n",
        hiding_table(maths, alarms),
        "",
        *protection(maths, alarms),
    ]
    with whole(PAGE) as draft:
        draft.write_text("\n".join(parts) + "\n", encoding="utf-8")


def table_of(trees: Mapping[str, Tree], attacks: tuple[str, ...], rate: str) -> str:
    """A row for each attack on each monitor: recalls, AUROC and false alarms, which attacks leave
    alone, of both models, and how far the finetuned one's are from base's."""
    alarms = rate.replace("tpr_", "fpr_")
    measures = {"found": rate, "false alarms": alarms, "at 1 %": OF_RECALL, "AUROC": AUROC}
    rows = []
    for monitor in trees[BASE]:
        for attack in attacks:
            row = [monitor, spoken(attack)]
            for number in measures.values():
                for tree in (trees[BASE], trees[TUNED]):
                    row.append(told(_at(tree, monitor, attack, number)))
                apart = _at(trees[TUNED], "difference", monitor, attack, number)
                row.append(told(apart, "+"))
            if any(row[2:]):
                rows.append(row)
    columns = [f"{what}, {of}" for what in measures for of in (BASE, TUNED, "difference")]
    return drawn(["monitor", "attack", *columns], rows)


def hiding_table(hiding: Hiding, rate: str) -> str:
    rows = [
        [row.variant, row.when, *(told(number or {}) for number in row.numbers)]
        for row in hiding_rows(hiding, rate)
    ]
    return drawn(["variant", "model", *HIDDEN], rows)


def _at(tree: Any, *path: str) -> Any:
    for key in path:
        tree = tree.get(key, {})
    return tree
