"""Measure how far concepts part, per variant, layer and position; and what the text alone gives."""

from pipeline.console import progress, run
from pipeline.files import write_json
from pipeline.params import load_params
from pipeline.paths import BASE_MODEL, EXAMPLES, METRICS, REPRESENTATIONS
from pipeline.records import Example, read_records
from pipeline.representations import load_representations


def main() -> None:
    params = load_params()
    # Scikit-learn takes seconds to import, and no mistake in params waits for it.
    from pipeline.separation import separation
    from pipeline.text_baseline import text_accuracies

    reading = params.reading
    for name in progress(params.variants, "separation"):
        stored = load_representations(REPRESENTATIONS / f"{name}.safetensors")
        tree = {
            f"layer_{layer}": {
                position: {
                    split: separation(
                        stored.at(layer, position, "train"),
                        stored.at(layer, position, split),
                        reading.neighbours,
                        reading.resamples,
                        params.seed,
                    ).as_tree()
                    for split in stored.held_out()
                }
                for position in stored.positions
            }
            for layer in stored.layers
        }
        write_json(METRICS / "separation" / f"{name}.json", tree)
    examples = read_records(EXAMPLES, Example)
    baseline = text_accuracies(
        BASE_MODEL / "tokenizer.json", examples, params.text, reading.resamples, params.seed
    )
    write_json(METRICS / "text_only.json", baseline)


if __name__ == "__main__":
    run(main)
