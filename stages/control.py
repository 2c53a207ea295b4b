"""Measure every edit: what it was meant to change, and what else changed."""

from pipeline.core.concepts import requests_of, safe_concepts
from pipeline.core.console import run
from pipeline.core.edit_observations import UNTOUCHED, read_observations
from pipeline.core.files import whole, write_json
from pipeline.core.params import load_params
from pipeline.core.paths import CONTROL, DESCRIBED, EXAMPLES, MANIFEST, METRICS, REQUESTS
from pipeline.core.records import Example, Request, read_records
from pipeline.evaluation.edit_effects import effects


def main() -> None:
    params = load_params()
    examples = read_records(EXAMPLES, Example)
    described = read_records(DESCRIBED, Example)
    before = read_observations(CONTROL / UNTOUCHED)
    asked = {completion.request for completion in before.completions}
    chosen_on = requests_of(examples, safe_concepts(MANIFEST), "validation")
    known = chosen_on + read_records(REQUESTS, Request)
    requests = [request for request in known if request.id in asked]
    with whole(METRICS / "control") as draft:
        draft.mkdir()
        for name in params.control.edits:
            if not (CONTROL / name).exists():  # a corpus without harm has no text for such an edit
                continue
            after = read_observations(CONTROL / name)
            tree = effects(
                requests, described, examples, before, after, params.reading.resamples, params.seed
            )
            write_json(draft / f"{name}.json", tree)


if __name__ == "__main__":
    run(main)
