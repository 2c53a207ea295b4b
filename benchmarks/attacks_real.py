"""Attacks on monitors of a pretrained model: real jailbreaks beside plain requests of the same
goals, suffixes behind held-out prompts, and a model that is trained to hide from its monitor.

The pipeline runs where benchmarks/monitors_real.py ran it on `refusal`, or in a clone as it makes
one, as far as the stages `robustness` and `hiding`; then monitors of the same texts are shown goals
and what an attacker made of them. A stopped run goes on where it stood. The page is
benchmarks/results/attacks_real.md.

    .venv/bin/python -m benchmarks.attacks_real --data a/folder --work work/monitors
"""

from collections.abc import Iterator, Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import monitors_real
from benchmarks.monitors_real_page import BASE, TUNED, told
from benchmarks.real_corpora import groups_of
from benchmarks.real_sets import jailbreaks_of_goals, spare_harmless
from benchmarks.runs import commit_of, commit_of_clean
from pipeline.core.concepts import safe_concepts, spoken
from pipeline.core.console import run
from pipeline.core.files import read_json, whole
from pipeline.core.params import load_params
from pipeline.core.paths import (
    ADAPTERS,
    BASE_MODEL,
    EXAMPLES,
    HIDING,
    MANIFEST,
    READ_WORDS,
    SEED_VALUES,
    SUFFIX_ATTACKS,
    UNREAD,
)
from pipeline.core.records import (
    ATTACKS,
    UNATTACKED,
    AttackedPrompt,
    AttackScore,
    Example,
    ReadWords,
    read_records,
)
from pipeline.core.text_identity import normalised
from pipeline.inference.differentiable import fit_readers
from pipeline.inference.suffixes import Target
from pipeline.models.building import prepare
from pipeline.models.encoding import Encoder
from pipeline.models.loading import load_variant
from pipeline.monitors.robustness import AttackedTexts, robustness, scores_of_words
from pipeline.reporting.hiding_tables import Hiding, hiding_rows, protection, read_hiding
from pipeline.reporting.markdown import drawn, said
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
SETTINGS = {
    "attacks": ATTACKED,
    "further_training": {"steps": FURTHER_STEPS},
    "figures": {"compared": [BASE, TUNED]},
}
BESIDE = 1000  # harmless instructions beside goals: 1 % false alarms among so many has an interval
STAGES = ("robustness", "hiding")
# As hiding_rows has its numbers.
HIDDEN = ("found, frozen", "found, refitted", "AUROC, frozen", "AUROC, refitted", "silhouette",
          "KL of answers")  # fmt: skip
PAGE = Path("benchmarks/results/attacks_real.md")
Tree = Mapping[str, Any]


class Goals(NamedTuple):
    """Plain requests, and by their ids the jailbreak that was made of each; harmless instructions
    beside them, which nobody framed."""

    plain: list[Example]
    jailbreaks: dict[str, str]
    harmless: list[Example]


def main() -> None:
    options = monitors_real.parser_of(__doc__).parse_args()
    commit_of_clean(Path.cwd(), but=SEED_VALUES)
    work = options.work / LEARN
    monitors_real.score(options.data, LEARN, work, stages=STAGES, further=SETTINGS)
    clone = (work / "run").resolve()
    data = options.data.resolve()
    with chdir(clone):
        goals, real = jailbroken(data)
        suffixes = {name: read_json(SUFFIX_ATTACKS / f"{name}.json") for name in (BASE, TUNED)}
        hiding = read_hiding(HIDING)
    write_page(goals, real, suffixes, hiding, commit_of(clone))


def goals_of(data: Path, known: set[str], safe: str) -> Goals:
    """The goals whose jailbreak worked, but for those that are nearly a prompt that was learned
    from (known, as normalised), with harmless instructions that are in no set."""
    every = jailbreaks_of_goals(data, succeeded=True)
    groups = groups_of([*known, *(goal for goal, _ in every)])
    learned = set(groups[: len(known)])
    own = groups[len(known) :]
    found = [pair for pair, group in zip(every, own, strict=True) if group not in learned]

    def example(number: int, prompt: str, concept: str) -> Example:
        return Example(f"{concept}-{number:03d}", prompt, "", "", concept, "test", "")

    plain = [example(number, goal, "goal") for number, (goal, _) in enumerate(found)]
    harmless = [
        example(number, prompt, safe)
        for number, prompt in enumerate(spare_harmless(data, len(found) + BESIDE)[len(found) :])
    ]
    made = {one.id: prompt for one, (_, prompt) in zip(plain, found, strict=True)}
    return Goals(plain, made, harmless)


def jailbroken(data: Path) -> tuple[int, dict[str, Tree]]:
    """What the monitors of the run in this folder say of goals and of their jailbreaks: how many
    goals there are, and metrics by variant, as the stage `robustness` writes them."""
    params = load_params()
    device = prepare(params.runtime)
    examples, safe = read_records(EXAMPLES, Example), safe_concepts(MANIFEST)
    learned = [example for example in examples if example.split == "train"]
    validation = [example for example in examples if example.split == "validation"]
    goals = goals_of(data, {normalised(e.prompt) for e in (*learned, *validation)}, safe[0])
    texts = AttackedTexts(
        validation, goals.plain, goals.harmless, safe, params.reading, params.seed
    )
    read = read_records(READ_WORDS, ReadWords)
    read += [ReadWords(e.id, e.prompt, "") for e in (*goals.plain, *goals.harmless)]
    framed = [AttackedPrompt(text, "", JAILBREAK, made) for text, made in goals.jailbreaks.items()]
    trees: dict[str, Tree] = {}
    base = None
    for name in (BASE, TUNED):
        model, tokenizer = load_variant(BASE_MODEL, ADAPTERS / name, device)
        encoder = Encoder(tokenizer, params.text)
        layer, tokens = params.reading.layer, params.extraction.tokens_per_batch
        readers = fit_readers(
            model, encoder, learned, validation, lambda e: e.concept not in safe,
            params.attacks.monitors, layer, tokens, params.seed, UNREAD / f"{name}.goals",
        )  # fmt: skip
        target = Target(model, encoder, readers, layer, tokens)
        scores = [*scores_of_goals(target, name, texts, goals)]
        scores += scores_of_words(texts, learned, read, framed, name)
        found = robustness(texts, name, scores)
        trees[name] = found.as_tree(base)
        base = base or found
    return len(goals.plain), trees


def scores_of_goals(
    target: Target, name: str, texts: AttackedTexts, goals: Goals
) -> Iterator[AttackScore]:
    """The logits of all texts as they are, and of the goals' jailbreaks."""
    every = [*texts.validation, *goals.plain, *goals.harmless]
    shown = {
        UNATTACKED: {example.id: example.prompt for example in every},
        JAILBREAK: goals.jailbreaks,
    }
    for attack, prompts in shown.items():
        for kind, logits in target.of_words(list(prompts.values())).items():
            for text, logit in zip(prompts, logits.tolist(), strict=True):
                yield AttackScore(text, kind, attack, name, 0, logit)


def write_page(
    goals: int, real: Mapping[str, Tree], suffixes: Mapping[str, Tree], hiding: Hiding, commit: str
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
        [row.variant, row.when, *(said(number or {}, band=False) for number in row.numbers)]
        for row in hiding_rows(hiding, rate)
    ]
    return drawn(["variant", "model", *HIDDEN], rows)


def _at(tree: Any, *path: str) -> Any:
    for key in path:
        tree = tree.get(key, {})
    return tree


if __name__ == "__main__":
    run(main)
