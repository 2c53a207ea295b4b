"""Measure how concentrated concepts are, their margins, and the gap these should bound."""

from collections import defaultdict
from typing import Any

from pipeline.core.console import progress, run
from pipeline.core.files import write_json
from pipeline.core.params import load_params
from pipeline.core.paths import EXAMPLES, METRICS, REPRESENTATIONS
from pipeline.core.records import Example, read_records
from pipeline.core.representations import load_representations
from pipeline.evaluation.bootstrap import as_tree, draw_prompts


def main() -> None:
    params = load_params()
    # Scikit-learn takes seconds to import, and no mistake in params waits for it.
    from pipeline.evaluation.transport import EXPECTED_SIGN, correlation, transport

    reading, moved = params.reading, params.transport
    prompts = {example.id: example.prompt for example in read_records(EXAMPLES, Example)}
    points: defaultdict[str, list[tuple[str, float, float]]] = defaultdict(list)
    for name in progress(params.variants, "transport"):
        stored = load_representations(REPRESENTATIONS / f"{name}.safetensors")
        counts = {
            split: draw_prompts(
                [prompts[text] for text in stored.ids_of(split)], reading.resamples, seed
            )
            # Were both drawn alike, the accuracies of a gap would not vary independently.
            for seed, split in enumerate(("train", *stored.held_out()), params.seed)
        }
        tree: dict[str, Any] = {}
        for layer in stored.layers:
            train, *texts = (stored.at(layer, reading.position, split) for split in counts)
            held_out = dict(zip(stored.held_out(), texts, strict=True))
            found = transport(train, held_out, counts, moved.samples, moved.draws, params.seed)
            tree[f"layer_{layer}"] = as_tree(found)
            for split in held_out:
                if "kv_margin" in found:
                    margin, gap = found["kv_margin"].value, found[f"gap_{split}"].value
                    points[split].append((name, margin, gap))
        write_json(METRICS / "transport" / f"{name}.json", tree)
    correlations: dict[str, Any] = {
        split: as_tree(correlation(of_split, reading.resamples, params.seed))
        for split, of_split in points.items()
    }
    correlations["expected_sign"] = EXPECTED_SIGN
    write_json(METRICS / "transport_correlation.json", correlations)


if __name__ == "__main__":
    run(main)
