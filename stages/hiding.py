"""Measure what monitors still find on models that were trained further, and what moved besides."""

from pipeline.core.concepts import safe_concepts
from pipeline.core.console import run
from pipeline.core.files import remove, write_json
from pipeline.core.params import load_params
from pipeline.core.paths import EXAMPLES, FURTHER, HIDING, MANIFEST, REQUESTS, SHIFTED
from pipeline.core.records import Example, Likelihood, Request, read_records
from pipeline.core.representations import load_representations


def main() -> None:
    params = load_params()
    # Scikit-learn takes seconds to import, and no mistake in params waits for it.
    from pipeline.evaluation.against_base import Resampled, beside_base, metrics_tree
    from pipeline.evaluation.fidelity import kl_of_answers
    from pipeline.monitors.hiding import BEFORE, UNTUNED, hiding_measures

    reading, safe = params.reading, safe_concepts(MANIFEST)
    examples = read_records(EXAMPLES, Example) + read_records(SHIFTED, Example)
    prompts = {example.id: example.prompt for example in examples}
    prompts |= {request.id: request.prompt for request in read_records(REQUESTS, Request)}

    def measure(name: str) -> Resampled:
        stored = {
            path.stem: load_representations(path)
            for path in sorted((FURTHER / name).glob("*.safetensors"))
        }
        before, untuned = stored.pop(BEFORE), None
        if name != "base":
            untuned = load_representations(FURTHER / "base" / f"{BEFORE}.safetensors")
        found = dict(hiding_measures(before, stored, prompts, safe, reading, params.seed, untuned))
        for goal in stored:
            weighed = read_records(FURTHER / name / f"{goal}.jsonl", Likelihood)
            if weighed:  # a corpus may have no requests
                found[goal, "answers", "kl"] = kl_of_answers(
                    weighed, prompts, reading.resamples, params.seed
                )
        return found

    remove(HIDING)
    HIDING.mkdir(parents=True)
    trained = [path.name for path in FURTHER.iterdir()]
    if trained:
        for name, found, base in beside_base(trained, measure):
            tree = metrics_tree(found, base, lambda path: UNTUNED not in path)
            read_at = {"layer": reading.layer, "position": reading.position}
            write_json(HIDING / f"{name}.json", {**read_at, **tree})


if __name__ == "__main__":
    run(main)
