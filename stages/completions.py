"""Let one variant answer every request, and weigh its likelihood of held-out documents."""

from pipeline.console import run, variant_name
from pipeline.generation import complete, likelihoods
from pipeline.models import Encoder, load_base, load_variant, prepare
from pipeline.params import load_params
from pipeline.paths import ADAPTERS, BASE_MODEL, COMPLETIONS, DOCUMENTS, REQUESTS
from pipeline.records import Document, Request, read_records, write_records


def main() -> None:
    params, name = load_params(), variant_name()
    device = prepare(params.runtime, params.seed)
    untouched, tokenizer = load_base(BASE_MODEL, device)
    model, _ = load_variant(BASE_MODEL, ADAPTERS / name, device)
    encoder = Encoder(tokenizer, params.text)
    requests = read_records(REQUESTS, Request)
    answers = complete(model, encoder, requests, params.generation, params.seed)
    heldout = [d for d in read_records(DOCUMENTS, Document) if d.split == "heldout"]
    weighed = likelihoods(model, untouched, encoder, heldout, params.generation.tokens_per_batch)
    write_records(COMPLETIONS / name / "completions.jsonl", answers)
    write_records(COMPLETIONS / name / "likelihoods.jsonl", weighed)


if __name__ == "__main__":
    run(main)
