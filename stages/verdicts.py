"""Let every judge judge every variant's answers, and labelled ones, which tell what it is worth."""

import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.core.concepts import safe_concepts
from pipeline.core.console import run
from pipeline.core.params import Params, load_params
from pipeline.core.paths import (
    BASE_MODEL,
    COMPLETIONS,
    CONTRASTED,
    EXAMPLES,
    GREEDY,
    LABELLED_VERDICTS,
    MANIFEST,
    REQUESTS,
    SAFE_CONTRASTS,
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
from pipeline.evaluation.judges import FITTED, PROBE, RULES, Exchange, Judge, verdicts_of
from pipeline.evaluation.labelled_answers import HELD_OUT_ANSWERS
from pipeline.inference.judging_models import judging_models
from pipeline.inference.probing_judge import fit_probing_judge
from pipeline.models.building import prepare
from pipeline.models.encoding import Encoder
from pipeline.models.loading import load_base

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
    requests = [r for path in (REQUESTS, SAFE_CONTRASTS) for r in read_records(path, Request)]
    prompts = {request.id: request.prompt for request in requests}
    for name in params.variants:
        for answers in (SAMPLED, GREEDY, CONTRASTED):
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
    device = prepare(params.runtime)
    fitted = fit_judge(examples, safe)
    if fitted is None:
        print("no training text has a harmful answer: no judge is fitted on them", file=sys.stderr)
    else:
        yield FITTED, fitted
        untouched, tokenizer = load_base(BASE_MODEL, device)
        encoder, reading = Encoder(tokenizer, params.text), params.reading
        batch = params.extraction.tokens_per_batch
        probe = fit_probing_judge(untouched, encoder, reading.layer, batch, examples, safe)
        assert probe is not None, "both judges learn from the same answers"
        yield PROBE, probe
    yield from judging_models(params.judging, device)


if __name__ == "__main__":
    run(main)
