"""Judge every variant's interpretations beside their controls and baselines: by rule, and as the
judge model chose. Say what that judge is worth, and how far their confidence can be trusted."""

from itertools import chain

from pipeline.core.concepts import concepts_of
from pipeline.core.console import run
from pipeline.core.files import write_json, write_table
from pipeline.core.params import base_first, load_params
from pipeline.core.paths import (
    CLOSED_READINGS,
    EXAMPLES,
    INTERPRETATIONS,
    JUDGED,
    METRICS,
    MOVED_INTERPRETATIONS,
)
from pipeline.core.records import (
    ClosedReading,
    Example,
    Interpretation,
    Judged,
    MovedInterpretation,
    read_records,
)
from pipeline.evaluation.against_base import beside_base
from pipeline.evaluation.confidence import (
    confidence_shares,
    confident_answers,
    reliability_rows,
)
from pipeline.evaluation.interpretation_accuracy import (
    RULE,
    Accuracies,
    accuracies_by_judge,
    asked_layers,
    judge_measures,
    metrics_by_judge,
    recalls,
    texts_naming_a_concept,
)
from pipeline.evaluation.intervals import as_tree
from pipeline.evaluation.moved_states import moved_shares


def main() -> None:
    params = load_params()
    drawn = params.reading.resamples, params.seed
    examples = read_records(EXAMPLES, Example)
    concepts = concepts_of(examples)
    prompts = {example.id: example.prompt for example in examples}
    chosen = {judged.text: judged.concept for judged in read_records(JUDGED, Judged)}
    interpretations = {
        name: read_records(INTERPRETATIONS / f"{name}.jsonl", Interpretation)
        for name in base_first(params.variants)
    }

    def measure(name: str) -> dict[str, Accuracies]:
        own = interpretations[name]
        found = accuracies_by_judge(own, concepts, chosen, prompts, *drawn)
        closed = read_records(CLOSED_READINGS / f"{name}.jsonl", ClosedReading)
        sure = confident_answers(own, closed, asked_layers(own), concepts, prompts)
        write_table(METRICS / "confidence" / f"{name}.csv", reliability_rows(sure, *drawn))
        found[RULE] |= recalls(own, prompts, *drawn) | confidence_shares(sure, *drawn)
        if name in ("base", *params.figures.compared):
            moved = read_records(MOVED_INTERPRETATIONS / f"{name}.jsonl", MovedInterpretation)
            found[RULE] |= moved_shares(moved, concepts, prompts, *drawn)
        return found

    for name, found, base in beside_base(params.variants, measure):
        write_json(METRICS / "selfie" / f"{name}.json", metrics_by_judge(found, base))
    named = texts_naming_a_concept(chain(*interpretations.values()), concepts)
    shown = [example for example in examples if example.words in chosen]
    worth = judge_measures(chosen, named, shown, *drawn) if chosen else {}
    write_json(METRICS / "judge.json", as_tree(worth))


if __name__ == "__main__":
    run(main)
