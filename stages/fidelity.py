"""Measure how far every variant moved from the untouched model on held-out documents."""

from pipeline.core.console import run
from pipeline.core.files import write_json
from pipeline.core.params import base_first, load_params
from pipeline.core.paths import COMPLETIONS, METRICS
from pipeline.core.records import Likelihood, Opening, read_records
from pipeline.evaluation.bootstrap import Vector, compared
from pipeline.evaluation.fidelity import fidelity


def main() -> None:
    params = load_params()
    untouched: dict[str, Vector] = {}
    for name in base_first(params.variants):
        weighed = read_records(COMPLETIONS / name / "likelihoods.jsonl", Likelihood)
        opened = read_records(COMPLETIONS / name / "openings.jsonl", Opening)
        measured = fidelity(weighed, opened, params.reading.resamples, params.seed)
        write_json(METRICS / "fidelity" / f"{name}.json", compared(measured, untouched))
        untouched = untouched or measured


if __name__ == "__main__":
    run(main)
