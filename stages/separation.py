"""Measure how far concepts part, per variant, layer and position; and what the text alone gives."""

from collections import defaultdict
from itertools import product
from typing import Any

from pipeline.core.concepts import safe_concepts
from pipeline.core.console import progress, run
from pipeline.core.files import write_json
from pipeline.core.params import base_first, load_params
from pipeline.core.paths import (
    BASE_MODEL,
    EXAMPLES,
    MANIFEST,
    METRICS,
    REPRESENTATIONS,
    REQUESTS,
    SHIFTED,
)
from pipeline.core.records import Example, read_records, read_watched
from pipeline.core.representations import load_representations
from pipeline.evaluation.bootstrap import as_tree, draw_prompts


def main() -> None:
    params = load_params()
    # Scikit-learn takes seconds to import, and no mistake in params waits for it.
    from pipeline.evaluation.linear_probe import fit_probe
    from pipeline.evaluation.separation import Separation, pairs_of_concepts, separation
    from pipeline.monitors.text_baseline import text_only

    reading = params.reading
    examples = read_records(EXAMPLES, Example)
    prompts = {example.id: example.prompt for example in examples}
    untouched: dict[str, Separation] = {}
    for name in progress(base_first(params.variants), "separation"):
        stored = load_representations(REPRESENTATIONS / f"{name}.safetensors")
        counts = {
            split: draw_prompts(
                [prompts[text] for text in stored.ids_of(split)], reading.resamples, params.seed
            )
            for split in stored.held_out()
        }
        tree: dict[str, Any] = defaultdict(dict)
        read: dict[str, Separation] = {}  # by split, where headline numbers are read
        for layer, position in product(stored.layers, stored.positions):
            train = stored.at(layer, position, "train")
            probe = fit_probe(*train)
            for split, held in counts.items():
                texts = stored.at(layer, position, split)
                found = separation(train, texts, probe, reading.neighbours, held, params.seed)
                tree[f"layer_{layer}"].setdefault(position, {})[split] = as_tree(found.estimates())
                if (layer, position) == (reading.layer, reading.position):
                    read[split] = found
                    pairs = pairs_of_concepts(train[0], texts, held)
                    tree["pairs"][split] = {pair: as_tree(apart) for pair, apart in pairs.items()}
        if untouched:
            moved = {s: as_tree(found.differences(untouched[s])) for s, found in read.items()}
            tree["difference"] = {f"layer_{reading.layer}": {reading.position: moved}}
        untouched = untouched or read
        write_json(METRICS / "separation" / f"{name}.json", tree)
    words = text_only(
        BASE_MODEL / "tokenizer.json",
        examples + read_records(SHIFTED, Example),
        read_watched(REQUESTS, params.streams.texts),
        safe_concepts(MANIFEST),
        params.text,
        reading.resamples,
        params.seed,
    )
    write_json(METRICS / "text_only.json", words)


if __name__ == "__main__":
    run(main)
