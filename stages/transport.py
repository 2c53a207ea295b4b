"""Measure how concentrated concepts are, their margins, and the gap these should bound."""

from pipeline.core.console import progress, run
from pipeline.core.files import write_json
from pipeline.core.params import load_params
from pipeline.core.paths import EXAMPLES, METRICS, REPRESENTATIONS
from pipeline.core.records import Example, read_records
from pipeline.core.representations import load_representations
from pipeline.evaluation.intervals import as_tree


def main() -> None:
    params = load_params()
    # Scikit-learn takes seconds to import, and no mistake in params waits for it.
    from pipeline.evaluation.transport_by_layer import (
        Layers,
        margin_correlations,
        transport_by_layer,
    )

    reading, seed = params.reading, params.seed
    prompts = {example.id: example.prompt for example in read_records(EXAMPLES, Example)}
    variants: dict[str, Layers] = {}
    for name in progress(params.variants, "transport"):
        stored = load_representations(REPRESENTATIONS / f"{name}.safetensors")
        variants[name] = transport_by_layer(stored, prompts, reading, params.transport, seed)
        tree = {f"layer_{layer}": as_tree(found) for layer, found in variants[name].items()}
        write_json(METRICS / "transport" / f"{name}.json", tree)
    overall = margin_correlations(variants, reading.resamples, seed)
    write_json(METRICS / "transport_correlation.json", overall)


if __name__ == "__main__":
    run(main)
