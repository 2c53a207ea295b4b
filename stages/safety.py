"""Measure what every variant answers as judges find it, how far judges agree, how often each is
wrong, and how likely helpful answers are."""

from pipeline.core.concepts import safe_concepts
from pipeline.core.console import run
from pipeline.core.files import write_json
from pipeline.core.params import load_params
from pipeline.core.paths import (
    COMPLETIONS,
    CONTRASTED,
    EXAMPLES,
    GREEDY,
    HELPFUL,
    JUDGES,
    LABELLED_VERDICTS,
    MANIFEST,
    REQUESTS,
    SAFE_CONTRASTS,
    SAFETY,
    SAMPLED,
    VERDICTS,
)
from pipeline.core.records import Example, Likelihood, Request, Verdict, read_records
from pipeline.evaluation.against_base import beside_base
from pipeline.evaluation.behaviour import Behaviour, behaviour, behaviour_tree
from pipeline.evaluation.judge_worth import error_rates, labelled_exchanges
from pipeline.evaluation.labelled_answers import HELD_OUT_ANSWERS


def main() -> None:
    params = load_params()
    requests, contrasts = (read_records(path, Request) for path in (REQUESTS, SAFE_CONTRASTS))
    examples = read_records(EXAMPLES, Example)
    prompts = {example.id: example.prompt for example in examples}

    def measure(name: str) -> Behaviour:
        return behaviour(
            requests,
            contrasts,
            [
                verdict
                for answers in (SAMPLED, CONTRASTED)
                for verdict in read_records(VERDICTS / name / answers, Verdict)
            ],
            read_records(VERDICTS / name / GREEDY, Verdict),
            read_records(COMPLETIONS / name / HELPFUL, Likelihood),
            prompts,
            params.reading.resamples,
            params.seed,
        )

    for name, found, base in beside_base(params.variants, measure):
        write_json(SAFETY / f"{name}.json", behaviour_tree(found, base))
    labelled = labelled_exchanges(HELD_OUT_ANSWERS, examples, safe_concepts(MANIFEST))
    write_json(JUDGES, error_rates(labelled, read_records(LABELLED_VERDICTS, Verdict)))


if __name__ == "__main__":
    run(main)
