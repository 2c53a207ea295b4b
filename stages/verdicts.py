"""Let every judge judge every variant's answers, and labelled ones, which tell what it is worth."""

import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.core.concepts import safe_concepts
from pipeline.core.console import run
from pipeline.core.params import Params, load_params
from pipeline.core.paths import (
    COMPLETIONS,
    EXAMPLES,
    GREEDY,
    LABELLED_VERDICTS,
    MANIFEST,
    REQUESTS,
    SAMPLED,
    VERDICTS,
)
from pipeline.core.records import (
    Completion,
    Example,
    Request,
    Verdict,
    read_records,
    write_records,
)
from pipeline.evaluation.fitted_judge import fit_judge
from pipeline.evaluation.judge_worth import labelled_exchanges
from pipeline.evaluation.judges import FITTED, RULES, Exchange, Judge, verdicts_of
from pipeline.evaluation.labelled_answers import HELD_OUT_ANSWERS
from pipeline.inference.judging_models import judging_models
from pipeline.models.building import prepare

Asked = list[tuple[str, int, Exchange]]


def main() -> None:
    params = load_params()
    examples, safe = read_records(EXAMPLES, Example), safe_concepts(MANIFEST)
    asked: dict[Path, Asked] = {
        LABELLED_VERDICTS: [
            (one.id, 0, one.exchange)
            for one in labelled_exchanges(HELD_OUT_ANSWERS, examples, safe)
        ]
    }
    prompts = {request.id: request.prompt for request in read_records(REQUESTS, Request)}
    for name in params.variants:
        for answers in (SAMPLED, GREEDY):
            given = read_records(COMPLETIONS / name / answers, Completion)
            asked[VERDICTS / name / answers] = [
                (c.request, c.sample, Exchange(prompts[c.request], c.text)) for c in given
            ]
    found: dict[Path, list[Verdict]] = {path: [] for path in asked}
    for name, judge in judges_of(params, examples, safe):
        for path, exchanges in asked.items():
            found[path] += verdicts_of(name, judge, exchanges)
    for path, verdicts in found.items():
        write_records(path, verdicts)


def judges_of(
    params: Params, examples: list[Example], safe: tuple[str, ...]
) -> Iterator[tuple[str, Judge]]:
    """Every judge by name; one model at a time."""
    yield from RULES.items()
    fitted = fit_judge(examples, safe)
    if fitted is None:
        print("no training text has a harmful answer: no judge is fitted on them", file=sys.stderr)
    else:
        yield FITTED, fitted
    yield from judging_models(params.judging, prepare(params.runtime))


if __name__ == "__main__":
    run(main)
