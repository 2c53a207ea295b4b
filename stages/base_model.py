"""Train the embedded base model on the corpora, or adopt one of the Hub or of a folder."""

from pathlib import Path

from pipeline.core.console import run
from pipeline.core.params import load_params
from pipeline.core.paths import BASE_MODEL, DESCRIBED, DOCUMENTS
from pipeline.core.records import Document, Example, read_records
from pipeline.core.watched import refuse_ignored
from pipeline.models.building import prepare
from pipeline.models.external_base import adopt
from pipeline.models.loading import save_trained
from pipeline.training.pretraining import pretrain


def main() -> None:
    params = load_params()
    device = prepare(params.runtime)
    if params.model.source != "embedded":
        if params.model.source == "path":
            location = Path(params.model.path.location)
            refuse_ignored([location, *location.glob("*")], "model.path.location")
        adopt(BASE_MODEL, params)
        return
    model, tokenizer = pretrain(
        read_records(DOCUMENTS, Document),
        read_records(DESCRIBED, Example),
        params.model.embedded,
        params.pretraining,
        params.asking,
        params.text,
        params.seed,
        device,
    )
    save_trained(BASE_MODEL, model, tokenizer, params.model)


if __name__ == "__main__":
    run(main)
