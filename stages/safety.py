"""Judge every variant's answers: what it should have refused, and what it should not have."""

from pipeline.core.console import run
from pipeline.core.files import write_json
from pipeline.core.params import load_params
from pipeline.core.paths import COMPLETIONS, METRICS, REQUESTS, VERDICTS
from pipeline.core.records import Completion, Request, read_records, write_records
from pipeline.evaluation.against_base import Resampled, beside_base, metrics_tree, under
from pipeline.evaluation.refusals import judge_completions, rates


def main() -> None:
    params = load_params()
    requests = read_records(REQUESTS, Request)

    def measure(name: str) -> Resampled:
        answers = read_records(COMPLETIONS / name / "completions.jsonl", Completion)
        verdicts = judge_completions(answers)
        write_records(VERDICTS / f"{name}.jsonl", verdicts)
        return under((), rates(requests, verdicts, params.reading.resamples, params.seed))

    for name, found, base in beside_base(params.variants, measure):
        write_json(METRICS / "safety" / f"{name}.json", metrics_tree(found, base))


if __name__ == "__main__":
    run(main)
