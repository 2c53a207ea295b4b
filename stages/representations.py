"""Extract one variant's representations of every measured text."""

from pipeline.console import run, variant_name
from pipeline.extraction import extract
from pipeline.models import Encoder, load_variant, prepare
from pipeline.params import load_params
from pipeline.paths import ADAPTERS, BASE_MODEL, EXAMPLES, REPRESENTATIONS
from pipeline.records import Example, read_records
from pipeline.representations import Representations, save_representations


def main() -> None:
    params, name = load_params(), variant_name()
    device = prepare(params.runtime)
    model, tokenizer = load_variant(BASE_MODEL, ADAPTERS / name, device)
    encoder = Encoder(tokenizer, params.text)
    examples = read_records(EXAMPLES, Example)
    texts = [encoder(example.prompt, example.response) for example in examples]
    save_representations(
        REPRESENTATIONS / f"{name}.safetensors",
        Representations(
            values=extract(model, encoder, texts, params.extraction),
            layers=params.extraction.layers,
            positions=params.extraction.positions,
            ids=tuple(example.id for example in examples),
            concepts=tuple(example.concept for example in examples),
            splits=tuple(example.split for example in examples),
        ),
    )


if __name__ == "__main__":
    run(main)
