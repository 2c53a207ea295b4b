"""Let one variant describe its own hidden states of held-out texts, and all controls."""

from pipeline.console import run, variant_name
from pipeline.models import Encoder, load_variant, prepare
from pipeline.params import load_params
from pipeline.paths import ADAPTERS, BASE_MODEL, EXAMPLES, INTERPRETATIONS
from pipeline.records import Example, evenly, read_records, write_records
from pipeline.selfie import interpret_examples


def main() -> None:
    params, name = load_params(), variant_name()
    device = prepare(params.runtime, params.seed)
    model, tokenizer = load_variant(BASE_MODEL, ADAPTERS / name, device)
    encoder = Encoder(tokenizer, params.text)
    examples = read_records(EXAMPLES, Example)
    interpretations = []
    for split in ("test", "novel"):
        held_out = [example for example in examples if example.split == split]
        chosen = evenly(held_out, params.selfie.texts_per_split)
        interpretations += interpret_examples(model, encoder, chosen, params.selfie, params.seed)
    write_records(INTERPRETATIONS / f"{name}.jsonl", interpretations)


if __name__ == "__main__":
    run(main)
