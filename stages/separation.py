"""Measure how far concepts part, per variant, layer and position; and what the text alone gives."""

from pipeline.core.concepts import safe_concepts
from pipeline.core.console import progress, run
from pipeline.core.files import write_json
from pipeline.core.params import load_params
from pipeline.core.paths import (
    EXAMPLES,
    MANIFEST,
    METRICS,
    READ_WORDS,
    REPRESENTATIONS,
    REQUESTS,
    SHIFTED,
)
from pipeline.core.records import Example, ReadWords, read_records, read_watched
from pipeline.core.representations import load_representations
from pipeline.core.scored_sets import prompts_alone


def main() -> None:
    params = load_params()
    # Scikit-learn takes seconds to import, and no mistake in params waits for it.
    from pipeline.evaluation.against_base import beside_base
    from pipeline.evaluation.separation_by_layer import (
        LayerSeparation,
        separation_by_layer,
        separation_metrics,
    )
    from pipeline.monitors.text_baseline import text_only

    reading = params.reading
    examples = read_records(EXAMPLES, Example) + read_records(SHIFTED, Example)
    prompts = {example.id: example.prompt for example in examples}
    alone = prompts_alone(examples)

    def measure(name: str) -> LayerSeparation:
        stored = load_representations(REPRESENTATIONS / f"{name}.safetensors")
        return separation_by_layer(stored, prompts, reading, params.seed, alone)

    measured = beside_base(params.variants, measure)
    for name, found, base in progress(measured, "separation", len(params.variants)):
        write_json(
            METRICS / "separation" / f"{name}.json", separation_metrics(found, base, reading)
        )
    words = text_only(
        read_records(READ_WORDS, ReadWords),
        examples,
        read_watched(REQUESTS, params.streams.texts),
        safe_concepts(MANIFEST),
        reading,
        params.seed,
    )
    write_json(METRICS / "text_only.json", words)


if __name__ == "__main__":
    run(main)
