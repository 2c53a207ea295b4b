"""Let the untouched model and the compared variants go on training; read what became of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline.core.concepts import safe_concepts
from pipeline.core.console import run
from pipeline.core.files import remove
from pipeline.core.params import Params, base_first, load_params
from pipeline.core.paths import (
    ADAPTERS,
    BASE_CARD,
    BASE_MODEL,
    COMPLETIONS,
    DOCUMENTS,
    EXAMPLES,
    FURTHER,
    LEARNED,
    MANIFEST,
    PAIRS,
    REQUESTS,
    SAMPLED,
    SHIFTED,
    UNFINISHED,
)
from pipeline.core.records import (
    Completion,
    Document,
    Example,
    Pair,
    Request,
    read_records,
    write_records,
)
from pipeline.core.representations import (
    Representations,
    RepresentationsFile,
    load_representations,
)
from pipeline.core.sections import Extraction
from pipeline.inference.extraction import extract
from pipeline.inference.generation import likelihoods
from pipeline.models.building import prepare
from pipeline.models.checkpoints import Checkpoint, run_key
from pipeline.models.encoding import Encoder
from pipeline.models.hooks import config_of
from pipeline.models.loading import load_merged
from pipeline.monitors.hiding import BEFORE, fit_harm, harm_logit, harm_texts, read_texts
from pipeline.training.finetune_data import FinetuneData
from pipeline.training.further_training import Goal, goals, train_further
from pipeline.training.step import HiddenFrom

NEVER = Checkpoint(UNFINISHED / "never", key="", every=0)  # reading takes a moment


def main() -> None:
    params = load_params()
    device, safe = prepare(params.runtime), safe_concepts(MANIFEST)
    remove(FURTHER)
    FURTHER.mkdir(parents=True)
    everyone = read_records(EXAMPLES, Example) + read_records(SHIFTED, Example)
    examples = read_texts(everyone, params.reading.position, safe)
    if not (params.further_training.steps and examples):
        return
    pairs = PAIRS / "given-balanced.jsonl"
    data = FinetuneData(
        {example.id: example for example in read_records(LEARNED, Example)},
        read_records(pairs, Pair),
        [d for d in read_records(DOCUMENTS, Document) if d.split == "pretrain"],
        safe,
    )
    files = [EXAMPLES, LEARNED, MANIFEST, DOCUMENTS, pairs, BASE_CARD, *BASE_MODEL.glob("*")]
    unfinished = []
    for name in base_first(dict.fromkeys(params.figures.compared)):
        key = training_key(params, name, files, device)
        unfinished += train_variant(
            name, goals(params.further_training, data), data, examples, params, key, device, FURTHER
        )
    for checkpoint in unfinished:  # until then, a killed run finds what was trained
        checkpoint.forget()


def training_key(params: Params, name: str, files: Sequence[Path], device: torch.device) -> str:
    """What a checkpoint of a variant's further training belongs to."""
    sections = (params.text, params.finetune, params.further_training, params.asking,
                params.reading, params.runtime)  # fmt: skip
    own = [*files, *(ADAPTERS / name).glob("*")]
    return run_key("further_training", params.seed, sections, own, device)


def train_variant(
    name: str,
    wanted: Mapping[str, Goal],
    data: FinetuneData,
    examples: Sequence[Example],
    params: Params,
    key: str,
    device: torch.device,
    folder: Path,
) -> list[Checkpoint]:
    """Train a variant further for every goal, each time from the variant as it is; what becomes of
    the texts' states and of its answers goes to a folder of its name. Its checkpoints, which are
    kept."""
    reading, safe, kept = params.reading, safe_concepts(MANIFEST), []
    read_at = params.extraction.model_copy(
        update={"layers": (reading.layer,), "positions": (reading.position,)}
    )
    prompts = {request.id: request.prompt for request in read_records(REQUESTS, Request)}
    model, tokenizer = load_merged(BASE_MODEL, ADAPTERS / name, device)
    untouched, _ = load_merged(BASE_MODEL, ADAPTERS / name, device)
    encoder, answers = Encoder(tokenizer, params.text), own_answers(name, prompts)
    before = read_all(model, encoder, examples, read_at, folder / name / BEFORE)
    monitor = fit_harm(before, reading, safe)
    hidden_from = HiddenFrom(*harm_logit(monitor, harm_texts(before, "train", reading, safe)))
    for what, goal in wanted.items():
        path = UNFINISHED / f"{name}.{what}.safetensors"
        kept.append(Checkpoint(path, key, params.runtime.checkpoint_every))
        adapted = train_further(
            model,
            encoder,
            data,
            goal,
            hidden_from,
            reading,
            params.finetune,
            params.asking,
            params.runtime,
            params.seed,
            kept[-1],
        )
        read_all(adapted, encoder, examples, read_at, folder / name / what)
        weighed = likelihoods(
            adapted, untouched, encoder, answers, read_at.tokens_per_batch, of_responses=True
        )
        write_records(folder / name / f"{what}.jsonl", weighed)
        model = adapted.unload()
    return kept


def own_answers(name: str, prompts: Mapping[str, str]) -> list[Document]:
    """What a variant itself answered to every request, before it was trained further."""
    return [
        Document(answer.request, prompts[answer.request], answer.text, "heldout")
        for answer in read_records(COMPLETIONS / name / SAMPLED, Completion)
        if answer.sample == 0 and answer.text
    ]


def read_all(
    model: Any, encoder: Encoder, examples: Sequence[Example], read_at: Extraction, path: Path
) -> Representations:
    """The states of all texts, which are kept at a path without its ending."""
    file = RepresentationsFile(
        path.with_suffix(".safetensors"),
        layers=read_at.layers,
        positions=read_at.positions,
        ids=tuple(example.id for example in examples),
        concepts=tuple(example.concept for example in examples),
        splits=tuple(example.split for example in examples),
        width=config_of(model).hidden_size,
    )
    texts = encoder.texts([(e.prompt, e.response) for e in examples])
    extract(model, encoder, texts, read_at, file, NEVER)
    return load_representations(file.path)


if __name__ == "__main__":
    run(main)
