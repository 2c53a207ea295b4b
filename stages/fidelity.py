"""Measure how far every variant moved from the untouched model on held-out documents, and what it
can still do."""

from pipeline.core.console import run
from pipeline.core.files import write_json
from pipeline.core.params import load_params
from pipeline.core.paths import COMPLETIONS, METRICS
from pipeline.core.records import Choice, Likelihood, Opening, TaskScore, read_records
from pipeline.evaluation.against_base import Resampled, beside_base, metrics_tree, under
from pipeline.evaluation.capability import CHANCE, capability, harness_means
from pipeline.evaluation.fidelity import fidelity


def main() -> None:
    params = load_params()

    def measure(name: str) -> Resampled:
        likelihoods = read_records(COMPLETIONS / name / "likelihoods.jsonl", Likelihood)
        openings = read_records(COMPLETIONS / name / "openings.jsonl", Opening)
        resamples, seed = params.reading.resamples, params.seed
        return under((), fidelity(likelihoods, openings, resamples, seed))

    for name, found, base in beside_base(params.variants, measure):
        write_json(METRICS / "fidelity" / f"{name}.json", metrics_tree(found, base))

    def chosen(name: str) -> Resampled:
        choices = read_records(COMPLETIONS / name / "choices.jsonl", Choice)
        graded = read_records(COMPLETIONS / name / "harness.jsonl", TaskScore)
        resamples, seed = params.reading.resamples, params.seed
        return capability(choices, resamples, seed) | harness_means(graded, resamples, seed)

    for name, found, base in beside_base(params.variants, chosen):
        tree = metrics_tree(found, base, has_difference=lambda path: path[-1] != CHANCE)
        write_json(METRICS / "capability" / f"{name}.json", tree)


if __name__ == "__main__":
    run(main)
