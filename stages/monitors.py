"""Fit and score monitors on every variant's representations; keep the headline one to take home."""

from pipeline.core.concepts import safe_concepts
from pipeline.core.console import progress, run
from pipeline.core.files import read_json, whole, write_json
from pipeline.core.params import base_first, load_params
from pipeline.core.paths import (
    BASE_CARD,
    EXAMPLES,
    MANIFEST,
    METRICS,
    MONITORS,
    REPRESENTATIONS,
    REQUESTS,
    SCORES,
    SHIFTED,
    STREAMS,
)
from pipeline.core.records import Example, Request, read_records, write_records
from pipeline.core.representations import load_representations
from pipeline.monitors.answer_states import load_streams
from pipeline.monitors.saved import identity_of, save_monitor


def main() -> None:
    params = load_params()
    # Both take seconds to import, and no mistake in params waits for them.
    import pandas as pd

    from pipeline.monitors.datasets import Material
    from pipeline.monitors.evaluation import Findings, examine, metrics_of
    from pipeline.monitors.fitted import RATES

    reading, safe, base = params.reading, safe_concepts(MANIFEST), identity_of(read_json(BASE_CARD))
    requests = {request.id: request for request in read_records(REQUESTS, Request)}
    examples = read_records(EXAMPLES, Example) + read_records(SHIFTED, Example)
    prompts = {example.id: example.prompt for example in examples}
    prompts |= {name: request.prompt for name, request in requests.items()}
    place = {"layer": reading.layer, "position": reading.position}
    untouched: Findings | None = None
    for name in progress(base_first(params.variants), "monitors"):
        stored = load_representations(REPRESENTATIONS / f"{name}.safetensors")
        streams = load_streams(STREAMS / f"{name}.safetensors")
        material = Material(
            name, base, stored, streams, requests, prompts, safe, reading, params.seed
        )
        found = examine(material)
        write_json(METRICS / "monitors" / f"{name}.json", {**place, **metrics_of(found, untouched)})
        write_records(SCORES / f"{name}.jsonl", found.scores)
        for position, monitor in found.saved.items():
            save_monitor(MONITORS / name, position, monitor)
        with whole(METRICS / "roc" / f"{name}.csv") as draft:
            curves = pd.DataFrame({"false_positive_rate": RATES, **found.roc})
            curves.to_csv(draft, index=False, float_format="%.6g", lineterminator="\n")
        untouched = untouched or found


if __name__ == "__main__":
    run(main)
