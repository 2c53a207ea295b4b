"""Fit every edit of a variant, and observe the untouched and the edited models alike; beside some,
an instruction that asks for the same and a steering vector of equal effect."""

from pipeline.core.concepts import requests_of, safe_concepts
from pipeline.core.console import run
from pipeline.core.edit_observations import UNTOUCHED, write_observations
from pipeline.core.files import whole
from pipeline.core.params import load_params
from pipeline.core.paths import (
    ADAPTERS,
    BASE_CARD,
    BASE_MODEL,
    CONTROL,
    DESCRIBED,
    DOCUMENTS,
    EDITS,
    EXAMPLES,
    MANIFEST,
    REQUESTS,
)
from pipeline.core.records import Document, Example, Request, read_records
from pipeline.edits.baselines import observe_beside
from pipeline.edits.delta import applied, load_edit, make_editable, model_digest, save_edit
from pipeline.edits.methods import can_fit, choose_edit_texts, make_edit
from pipeline.edits.observe import Observing, choose_observed_texts, observe
from pipeline.evaluation.refusal_rule import opens_with_refusal
from pipeline.models.building import prepare
from pipeline.models.encoding import Encoder
from pipeline.models.loading import load_variant


def main() -> None:
    params = load_params()
    control, asking, selfie = params.control, params.asking, params.selfie
    device, adapter = prepare(params.runtime), ADAPTERS / control.model
    model, tokenizer = load_variant(BASE_MODEL, adapter, device)
    untouched, _ = load_variant(BASE_MODEL, adapter, device)
    for each in (model, untouched):
        make_editable(each, [row.layer for row in control.edits.values()])
    model.requires_grad_(False)
    encoder, made_for = Encoder(tokenizer, params.text), model_digest(BASE_CARD, adapter)
    examples, documents = read_records(EXAMPLES, Example), read_records(DOCUMENTS, Document)
    safe = safe_concepts(MANIFEST)
    texts = choose_edit_texts(examples, documents, safe, control)
    chosen = choose_observed_texts(
        [*requests_of(examples, safe, "validation"), *read_records(REQUESTS, Request)],
        documents,
        read_records(DESCRIBED, Example),
        examples,
        control.requests,
        control.probed_texts,
    )
    observing = Observing(
        untouched, encoder, chosen, params.generation, asking, selfie, params.seed
    )
    with whole(EDITS) as edits, whole(CONTROL) as observed:
        edits.mkdir()
        write_observations(observed / UNTOUCHED, observe(model, observing))
        for name, row in control.edits.items():
            if not can_fit(row, texts):
                continue
            made, notes = make_edit(
                model, encoder, texts, row, control, asking, selfie, params.seed, made_for
            )
            save_edit(edits / name, made, {"method": row.method, **notes})
            edit = load_edit(edits / name, made_for)
            with applied(model, edit):
                write_observations(observed / name, observe(model, observing))
            if row.instruction:
                observe_beside(
                    observed, name, model, observing, texts, edit, control, opens_with_refusal
                )


if __name__ == "__main__":
    run(main)
