"""Measure what attacks leave of monitors of hidden states, and of words alone."""

from pipeline.core.concepts import safe_concepts
from pipeline.core.console import run
from pipeline.core.files import write_json
from pipeline.core.params import base_first, load_params
from pipeline.core.paths import (
    ATTACKED,
    EXAMPLES,
    MANIFEST,
    READ_WORDS,
    SHIFTED,
    SUFFIX_ATTACKS,
    SUFFIX_CURVES,
)
from pipeline.core.records import (
    UNATTACKED,
    AttackedPrompt,
    AttackScore,
    Example,
    ReadWords,
    read_records,
)
from pipeline.core.scored_sets import EVERYDAY


def main() -> None:
    params = load_params()
    # Scikit-learn takes seconds to import, and no mistake in params waits for it.
    from pipeline.evaluation.against_base import beside_base
    from pipeline.monitors.robustness import (
        AttackedTexts,
        CurveRow,
        Robustness,
        attack_curves,
        robustness,
        scores_of_words,
        write_attack_curves,
    )

    examples, safe = read_records(EXAMPLES, Example), safe_concepts(MANIFEST)
    words = read_records(READ_WORDS, ReadWords)
    names = base_first(params.figures.compared)
    of_base = read_records(ATTACKED / "base.jsonl", AttackScore)
    attacked = {score.text for score in of_base if score.attack != UNATTACKED}
    texts = AttackedTexts(
        validation=[e for e in examples if e.split == "validation"],
        attacked=[e for e in examples if e.id in attacked],
        untouched=[
            e
            for e in (*examples, *read_records(SHIFTED, Example))
            if e.split in ("test", EVERYDAY) and e.concept in safe
        ],
        safe=safe,
        reading=params.reading,
        seed=params.seed,
    )
    train = [example for example in examples if example.split == "train"]
    curves: dict[str, list[CurveRow]] = {}

    def measure(name: str) -> Robustness:
        scores = read_records(ATTACKED / f"{name}.jsonl", AttackScore)
        steps = read_records(ATTACKED / f"{name}.steps.jsonl", AttackScore)
        prompts = read_records(ATTACKED / f"{name}.prompts.jsonl", AttackedPrompt)
        if scores:
            first = [own for own in prompts if own.monitor == params.attacks.monitors[0]]
            scores += scores_of_words(texts, train, words, first, name)
        for curve, rows in attack_curves(texts, name, steps).items():
            curves.setdefault(curve, []).extend(rows)
        return robustness(texts, name, scores)

    for name, found, base in beside_base(names, measure):
        write_json(SUFFIX_ATTACKS / f"{name}.json", found.as_tree(base))
    write_attack_curves(SUFFIX_CURVES, curves)


if __name__ == "__main__":
    run(main)
