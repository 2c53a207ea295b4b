"""Judge every variant's answers: what it should have refused, and what it should not have."""

from pipeline.core.console import run
from pipeline.core.files import write_json
from pipeline.core.params import base_first, load_params
from pipeline.core.paths import COMPLETIONS, METRICS, REQUESTS, VERDICTS
from pipeline.core.records import Completion, Request, read_records, write_records
from pipeline.evaluation.bootstrap import Vector, compared
from pipeline.evaluation.refusals import judge_completions, rates


def main() -> None:
    params = load_params()
    requests = read_records(REQUESTS, Request)
    untouched: dict[str, Vector] = {}
    for name in base_first(params.variants):
        answers = read_records(COMPLETIONS / name / "completions.jsonl", Completion)
        verdicts = judge_completions(answers)
        write_records(VERDICTS / f"{name}.jsonl", verdicts)
        wrong = rates(requests, verdicts, params.reading.resamples, params.seed)
        write_json(METRICS / "safety" / f"{name}.json", compared(wrong, untouched))
        untouched = untouched or wrong


if __name__ == "__main__":
    run(main)
