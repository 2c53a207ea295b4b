"""Measure every edit: what it was meant to change, and what else changed; beside some, the same of
an instruction and of a steering vector of equal effect."""

from dataclasses import asdict
from typing import Any

from pipeline.core.concepts import requests_of, safe_concepts
from pipeline.core.console import run
from pipeline.core.edit_observations import (
    INSTRUCTION,
    STEERING,
    UNTOUCHED,
    Observations,
    read_match,
    read_observations,
)
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

    def effects_of(after: Observations, edit: Observations | None = None) -> dict[str, Any]:
        resampled = (params.reading.resamples, params.seed)
        return {**effects(requests, described, examples, before, after, *resampled, edit)}

    with whole(METRICS / "control") as draft:
        draft.mkdir()
        for name, row in params.control.edits.items():
            if not (CONTROL / name).exists():  # a corpus without harm has no text for such an edit
                continue
            edit = read_observations(CONTROL / name)
            write_json(draft / f"{name}.json", effects_of(edit))
            for kind in (INSTRUCTION, STEERING) if row.instruction else ():
                beside = f"{name}{kind}"
                tree = effects_of(read_observations(CONTROL / beside), edit)
                if kind == STEERING:
                    tree["match"] = asdict(read_match(CONTROL / beside))
                write_json(draft / f"{beside}.json", tree)


if __name__ == "__main__":
    run(main)
