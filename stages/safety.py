"""Judge every variant's answers: what it should have refused, and what it should not have."""

from pipeline.console import run
from pipeline.files import write_json
from pipeline.judging import judge_completions
from pipeline.params import load_params
from pipeline.paths import COMPLETIONS, METRICS, REQUESTS, VERDICTS
from pipeline.records import Completion, Request, read_records, write_records
from pipeline.safety import rates


def main() -> None:
    params = load_params()
    requests = read_records(REQUESTS, Request)
    for name in params.variants:
        answers = read_records(COMPLETIONS / name / "completions.jsonl", Completion)
        verdicts = judge_completions(answers)
        write_records(VERDICTS / f"{name}.jsonl", verdicts)
        wrong = rates(requests, verdicts, params.reading.resamples, params.seed)
        tree = {kind: estimate.as_tree() for kind, estimate in wrong.items()}
        write_json(METRICS / "safety" / f"{name}.json", tree)


if __name__ == "__main__":
    run(main)
