"""Train the embedded base model: a tokenizer and a small Llama, from scratch, on the corpora."""

from pipeline.console import run
from pipeline.models import prepare, save_model
from pipeline.params import load_params
from pipeline.paths import BASE_MODEL, DESCRIBED, DOCUMENTS
from pipeline.pretraining import pretrain
from pipeline.records import Document, Example, read_records


def main() -> None:
    params = load_params()
    device = prepare(params.runtime)
    model, tokenizer = pretrain(
        read_records(DOCUMENTS, Document),
        read_records(DESCRIBED, Example),
        params.model,
        params.pretraining,
        params.asking,
        params.text,
        params.seed,
        device,
    )
    save_model(BASE_MODEL, model, tokenizer)


if __name__ == "__main__":
    run(main)
