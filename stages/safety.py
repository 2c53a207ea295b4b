"""Judge every variant's answers: what it should have refused, and what it should not have. Say how
often the rule that judges them is wrong."""

from pipeline.core.console import run
from pipeline.core.files import write_json
from pipeline.core.params import load_params
from pipeline.core.paths import COMPLETIONS, REFUSAL_RULE, REQUESTS, SAFETY, VERDICTS
from pipeline.core.records import Completion, Request, read_records, write_records
from pipeline.evaluation.against_base import Resampled, beside_base, metrics_tree, under
from pipeline.evaluation.labelled_answers import HELD_OUT_ANSWERS
from pipeline.evaluation.refusals import judge_completions, rates, rule_errors


def main() -> None:
    params = load_params()
    requests = read_records(REQUESTS, Request)

    def measure(name: str) -> Resampled:
        answers = read_records(COMPLETIONS / name / "completions.jsonl", Completion)
        verdicts = judge_completions(answers)
        write_records(VERDICTS / f"{name}.jsonl", verdicts)
        return under((), rates(requests, verdicts, params.reading.resamples, params.seed))

    for name, found, base in beside_base(params.variants, measure):
        write_json(SAFETY / f"{name}.json", metrics_tree(found, base))
    write_json(REFUSAL_RULE, rule_errors(HELD_OUT_ANSWERS))


if __name__ == "__main__":
    run(main)
