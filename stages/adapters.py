"""Finetune one variant's adapter, and keep its learning curve."""

from pipeline.console import run, variant_name
from pipeline.finetuning import finetune, write_curve
from pipeline.models import Encoder, load_base, prepare, save_adapter
from pipeline.params import find_variant, load_params
from pipeline.paths import ADAPTERS, BASE_MODEL, DOCUMENTS, EXAMPLES, METRICS, PAIRS
from pipeline.records import Document, Example, Pair, read_records


def main() -> None:
    params, name = load_params(), variant_name()
    variant = find_variant(params.variants, name)
    device = prepare(params.runtime)
    model, tokenizer = load_base(BASE_MODEL, device)
    adapted, curve = finetune(
        model,
        Encoder(tokenizer, params.text),
        {example.id: example for example in read_records(EXAMPLES, Example)},
        read_records(PAIRS / f"{variant.labels}-{variant.sampling}.jsonl", Pair),
        [d for d in read_records(DOCUMENTS, Document) if d.split == "pretrain"],
        params.finetune,
        variant,
        params.asking,
        params.seed,
    )
    save_adapter(ADAPTERS / name, adapted)
    write_curve(METRICS / "adapters" / f"{name}.csv", curve)


if __name__ == "__main__":
    run(main)
