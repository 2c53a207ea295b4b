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

from benchmarks import monitors_real
from benchmarks.attacks_real_page import (
    ATTACKED,
    FURTHER_STEPS,
    JAILBREAK,
    LEARN,
    Tree,
    write_page,
)
from benchmarks.monitors_real_page import BASE, TUNED
from benchmarks.real_corpora import read_folds
from benchmarks.real_sets import Goals, goals_of
from benchmarks.runs import commit_of, commit_of_clean
from pipeline.core.concepts import safe_concepts
from pipeline.core.console import run
from pipeline.core.files import read_json
from pipeline.core.params import load_params
from pipeline.core.paths import (
    ADAPTERS,
    BASE_CARD,
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
    UNATTACKED,
    AttackedPrompt,
    AttackScore,
    Document,
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
from pipeline.reporting.hiding_tables import Hiding, read_hiding
from pipeline.training.finetune_data import FinetuneData
from pipeline.training.further_training import OTHER_TEXTS, Goal
from stages.further_training import train_variant, training_key
from stages.hiding import write_hiding

SETTINGS = {
    "attacks": ATTACKED,
    "further_training": {"steps": FURTHER_STEPS},
    "figures": {"compared": [BASE, TUNED]},
}
STAGES = ("robustness", "hiding")
ON_MATHS = UNREAD / "on_maths"


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
        maths = trained_on_maths(data)
    write_page(goals, real, suffixes, hiding, maths, commit_of(clone))


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
    shown = {e.id: e.prompt for e in (*goals.plain, *goals.harmless)}
    trees: dict[str, Tree] = {}
    base = None
    for name in (BASE, TUNED):
        model, tokenizer = load_variant(BASE_MODEL, ADAPTERS / name, device)
        encoder = Encoder(tokenizer, params.text)
        readers = fit_readers(
            model, encoder, learned, validation, lambda e: e.concept not in safe,
            params.attacks.monitors, params.reading.layer, params.extraction, params.seed,
            UNREAD / f"{name}.goals",
        )  # fmt: skip
        target = Target(model, encoder, readers, params.extraction.tokens_per_batch)
        scores = [*scores_of_goals(target, name, texts, goals)]
        cut = words_of(encoder, shown)
        beside = [*read, *(ReadWords(text, words, "") for text, words in cut.items())]
        framed = [
            AttackedPrompt(text, "", JAILBREAK, words)
            for text, words in words_of(encoder, goals.jailbreaks).items()
        ]
        scores += scores_of_words(texts, learned, beside, framed, name)
        found = robustness(texts, name, scores)
        trees[name] = found.as_tree(base)
        base = base or found
    return len(goals.plain), trees


def trained_on_maths(data: Path) -> Hiding:
    """What becomes of the run's saved monitors where the models are finetuned on solved problems of
    MATH, which have nothing to do with harm; as the stage `hiding` measures it."""
    params, texts = load_params(), read_records(EXAMPLES, Example)
    device, solved = prepare(params.runtime), [e for e, _ in read_folds(data, "math")]
    documents = [Document(e.id, e.prompt, e.response, "pretrain") for e in solved]
    goal = Goal(FURTHER_STEPS, response_weight=1.0, of_documents=True)
    learned = FinetuneData({e.id: e for e in texts}, [], documents, safe_concepts(MANIFEST))
    for name in (BASE, TUNED):
        key = training_key(
            params, name, [EXAMPLES, MANIFEST, BASE_CARD, data / "math/test.csv"], device
        )
        train_variant(name, {OTHER_TEXTS: goal}, learned, texts, params, key, device, ON_MATHS)
    write_hiding(params, ON_MATHS, ON_MATHS.with_suffix(".metrics"))
    return read_hiding(ON_MATHS.with_suffix(".metrics"))


def words_of(encoder: Encoder, prompts: Mapping[str, str]) -> dict[str, str]:
    """Prompts by their ids, as the model's encoder cuts them."""
    read = encoder.words([(prompt, "") for prompt in prompts.values()])
    return {name: words for name, (words, _) in zip(prompts, read, strict=True)}


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


if __name__ == "__main__":
    run(main)
