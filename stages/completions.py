"""Let every variant answer every request and choose among options, and weigh its likelihood of
held-out documents and of held-out safe answers."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.core.concepts import safe_concepts
from pipeline.core.console import run
from pipeline.core.params import Params, load_params
from pipeline.core.paths import (
    ADAPTERS,
    BASE_CARD,
    BASE_MODEL,
    COMPLETIONS,
    CONTRASTED,
    DOCUMENTS,
    EXAMPLES,
    GREEDY,
    HELPFUL,
    MANIFEST,
    MULTIPLE_CHOICE,
    REQUESTS,
    SAFE_CONTRASTS,
    SAMPLED,
    UNFINISHED,
)
from pipeline.core.records import (
    Document,
    Example,
    Question,
    Request,
    TaskScore,
    few_of_each_task,
    read_records,
    write_records,
)
from pipeline.inference.choices import choices
from pipeline.inference.generation import complete, complete_greedily, likelihoods, openings
from pipeline.models.building import prepare
from pipeline.models.checkpoints import Checkpoint, run_key
from pipeline.models.encoding import Encoder
from pipeline.models.loading import load_base, load_variant


def main() -> None:
    params = load_params()
    device = prepare(params.runtime)
    untouched, tokenizer = load_base(BASE_MODEL, device)
    encoder = Encoder(tokenizer, params.text)
    requests, contrasts = (read_records(path, Request) for path in (REQUESTS, SAFE_CONTRASTS))
    questions = few_of_each_task(
        read_records(MULTIPLE_CHOICE, Question), params.capability.questions
    )
    heldout = [d for d in read_records(DOCUMENTS, Document) if d.split == "heldout"]
    helpful = helpful_answers(read_records(EXAMPLES, Example), safe_concepts(MANIFEST))
    per_batch = params.generation.tokens_per_batch
    unfinished = []
    for name in params.variants:
        model, _ = load_variant(BASE_MODEL, ADAPTERS / name, device)
        folder, kept = COMPLETIONS / name, partial(checkpoint_of, params, device, name)
        sampling, greedy, contrasting = kept(SAMPLED), kept(GREEDY), kept(CONTRASTED)
        unfinished += [sampling, greedy, contrasting]
        asking = (model, encoder, requests, params.generation)
        answers = complete(*asking, params.seed, sampling)
        likeliest = complete_greedily(*asking, greedy) if params.judging.greedy else []
        contrasted = complete(
            model, encoder, contrasts, params.generation, params.seed, contrasting
        )
        weighed = likelihoods(model, untouched, encoder, heldout, per_batch)
        helped = likelihoods(model, untouched, encoder, helpful, per_batch, of_responses=True)
        asked = requests or heldout  # a corpus without requests has prompts all the same
        opened = openings(model, untouched, encoder, asked, per_batch)
        chosen = choices(model, encoder, questions, per_batch)
        graded = harness(model, tokenizer, params)
        write_records(folder / "choices.jsonl", chosen)
        write_records(folder / "harness.jsonl", graded)
        write_records(folder / SAMPLED, answers)
        write_records(folder / GREEDY, likeliest)
        write_records(folder / CONTRASTED, contrasted)
        write_records(folder / HELPFUL, helped)
        write_records(folder / "openings.jsonl", opened)
        write_records(folder / "likelihoods.jsonl", weighed)
    for checkpoint in unfinished:  # until then, a killed run finds what all variants said
        checkpoint.forget()


def harness(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, params: Params
) -> list[TaskScore]:
    """What lm-eval makes of the model, where params name any of its tasks."""
    wanted = params.capability
    if not wanted.harness:
        return []
    from pipeline.inference.harness import task_scores

    size = params.generation.prompts_per_batch
    return task_scores(model, tokenizer, wanted.harness, wanted.harness_documents, size)


def helpful_answers(examples: Sequence[Example], safe: Sequence[str]) -> list[Document]:
    """Held-out texts of harmless concepts as a careful model answers them."""
    return [
        Document(e.id, e.prompt, e.safe_response, "heldout")
        for e in examples
        if e.split in ("test", "novel") and (e.concept in safe or not safe) and e.safe_response
    ]


def checkpoint_of(params: Params, device: torch.device, name: str, answers: str) -> Checkpoint:
    """Where a variant's answers are kept while others are still to come."""
    sections = [params.text, params.generation, params.runtime]
    files = [
        REQUESTS,
        SAFE_CONTRASTS,
        BASE_CARD,
        *BASE_MODEL.glob("*"),
        *(ADAPTERS / name).glob("*"),
    ]
    key = run_key("completions", params.seed, sections, files, device)
    path = UNFINISHED / f"{name}.{Path(answers).stem}.safetensors"
    return Checkpoint(path, key, params.runtime.checkpoint_every)


if __name__ == "__main__":
    run(main)
