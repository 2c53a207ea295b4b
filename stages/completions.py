"""Let every variant answer every request, and weigh its likelihood of held-out documents."""

from pipeline.core.console import run
from pipeline.core.params import load_params
from pipeline.core.paths import ADAPTERS, BASE_MODEL, COMPLETIONS, DOCUMENTS, REQUESTS
from pipeline.core.records import Document, Request, read_records, write_records
from pipeline.inference.generation import complete, likelihoods, openings
from pipeline.models.building import prepare
from pipeline.models.encoding import Encoder
from pipeline.models.loading import load_base, load_variant


def main() -> None:
    params = load_params()
    device = prepare(params.runtime)
    untouched, tokenizer = load_base(BASE_MODEL, device)
    encoder = Encoder(tokenizer, params.text)
    requests = read_records(REQUESTS, Request)
    heldout = [d for d in read_records(DOCUMENTS, Document) if d.split == "heldout"]
    for name in params.variants:
        model, _ = load_variant(BASE_MODEL, ADAPTERS / name, device)
        answers = complete(model, encoder, requests, params.generation, params.seed)
        weighed = likelihoods(
            model, untouched, encoder, heldout, params.generation.tokens_per_batch
        )
        asked = requests or heldout  # a corpus without requests has prompts all the same
        opened = openings(model, untouched, encoder, asked, params.generation.tokens_per_batch)
        write_records(COMPLETIONS / name / "completions.jsonl", answers)
        write_records(COMPLETIONS / name / "openings.jsonl", opened)
        write_records(COMPLETIONS / name / "likelihoods.jsonl", weighed)


if __name__ == "__main__":
    run(main)
