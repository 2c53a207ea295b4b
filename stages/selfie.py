"""Judge every variant's interpretations beside their controls and baselines: by rule, and as the
judge model chose. Say what that judge is worth."""

from collections import Counter

from pipeline.core.concepts import concept_named, concepts_of, names_concept, speaks_of_concept
from pipeline.core.console import run
from pipeline.core.files import write_json
from pipeline.core.params import base_first, load_params
from pipeline.core.paths import EXAMPLES, INTERPRETATIONS, JUDGED, METRICS
from pipeline.core.records import Example, Interpretation, Judged, read_records
from pipeline.evaluation.bootstrap import as_tree
from pipeline.evaluation.interpretation_accuracy import (
    Shares,
    accuracies,
    judge_measures,
    metrics_of,
)


def main() -> None:
    params = load_params()
    drawn = params.reading.resamples, params.seed
    examples = read_records(EXAMPLES, Example)
    concepts = concepts_of(examples)
    prompts = {example.id: example.prompt for example in examples}
    chosen = {judged.text: judged.concept for judged in read_records(JUDGED, Judged)}
    named: Counter[tuple[str, str]] = Counter()
    untouched: dict[str, Shares] = {}
    for name in base_first(params.variants):
        read = read_records(INTERPRETATIONS / f"{name}.jsonl", Interpretation)
        verdicts = {"rule": [names_concept(told, concepts) for told in read]}
        if chosen:
            verdicts["judged"] = [speaks_of_concept(told, chosen) for told in read]
        shares = {
            judge: accuracies(read, right, prompts, *drawn) for judge, right in verdicts.items()
        }
        trees = {judge: metrics_of(own, untouched.get(judge)) for judge, own in shares.items()}
        write_json(METRICS / "selfie" / f"{name}.json", {**trees.pop("rule"), **trees})
        untouched = untouched or shares
        for told in read:
            concept = concept_named(told.text, concepts)
            if told.control == "state" and concept is not None:
                named[told.text, concept] += 1
    shown = [example for example in examples if example.words in chosen]
    worth = judge_measures(chosen, named, shown, *drawn) if chosen else {}
    write_json(METRICS / "judge.json", as_tree(worth))


if __name__ == "__main__":
    run(main)
