"""Measure what monitors still find on models that were trained further, and what moved besides."""

from pathlib import Path

from pipeline.core.concepts import safe_concepts
from pipeline.core.console import run
from pipeline.core.files import remove, write_json
from pipeline.core.params import Params, load_params
from pipeline.core.paths import EXAMPLES, FURTHER, HIDING, MANIFEST, REQUESTS, SHIFTED
from pipeline.core.records import Example, Likelihood, Request, read_records
from pipeline.core.representations import load_representations


def main() -> None:
    write_hiding(load_params(), FURTHER, HIDING)


def write_hiding(params: Params, trained: Path, out: Path) -> None:
    """The metrics of every variant that was trained further: what lies in the folder `trained`, a
    file of the folder `out` each."""
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
            for path in sorted((trained / name).glob("*.safetensors"))
        }
        before, untuned = stored.pop(BEFORE), None
        if name != "base":
            untuned = load_representations(trained / "base" / f"{BEFORE}.safetensors")
        found = dict(hiding_measures(before, stored, prompts, safe, reading, params.seed, untuned))
        for goal in stored:
            weighed = read_records(trained / name / f"{goal}.jsonl", Likelihood)
            if weighed:  # a corpus may have no requests
                found[goal, "answers", "kl"] = kl_of_answers(
                    weighed, prompts, reading.resamples, params.seed
                )
        return found

    remove(out)
    out.mkdir(parents=True)
    names = [path.name for path in trained.iterdir()]
    if names:
        for name, found, base in beside_base(names, measure):
            tree = metrics_tree(found, base, lambda path: UNTUNED not in path)
            read_at = {"layer": reading.layer, "position": reading.position}
            write_json(out / f"{name}.json", {**read_at, **tree})


if __name__ == "__main__":
    run(main)
