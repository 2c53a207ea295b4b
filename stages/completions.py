"""Let every variant answer every request and choose among options, and weigh its likelihood of
held-out documents and of held-out safe answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.core.concepts import safe_concepts
from pipeline.core.console import InputError, run
from pipeline.core.files import read_json, remove
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
    Completion,
    Document,
    Example,
    Question,
    Request,
    TaskScore,
    few_of_each_task,
    read_records,
    write_records,
)
from pipeline.inference.answering import Answerer
from pipeline.inference.choices import choices
from pipeline.inference.generation import complete, complete_greedily, likelihoods, openings
from pipeline.inference.vllm_answers import vllm_serving
from pipeline.models import distributed
from pipeline.models.checkpoints import Checkpoint, run_key
from pipeline.models.encoding import Encoder
from pipeline.models.launching import launched
from pipeline.models.loading import load_base, load_tokenizer, load_variant
from pipeline.models.ranks import begin

Said = dict[str, list[Completion]]  # what a variant answers, by the name of its file


def main() -> None:
    params = load_params()
    by_vllm = params.generation.engine == "vllm"  # which shares work among cards by itself
    if not by_vllm and launched("stages.completions", "", params.runtime.processes):
        return
    texts = [REQUESTS, SAFE_CONTRASTS, MULTIPLE_CHOICE, DOCUMENTS, EXAMPLES, MANIFEST]
    adapters = [ADAPTERS / name for name in params.variants]
    device = begin("completions", "", params, [*texts, BASE_CARD, BASE_MODEL, *adapters])
    encoder = Encoder(load_tokenizer(BASE_MODEL), params.text)
    requests, contrasts = (read_records(path, Request) for path in (REQUESTS, SAFE_CONTRASTS))
    asking = Answering(params, encoder, requests, contrasts, device)
    answered = answered_by_vllm(asking) if by_vllm else {}  # before others need the card's memory
    untouched, tokenizer = load_base(BASE_MODEL, device)
    questions = few_of_each_task(
        read_records(MULTIPLE_CHOICE, Question), params.capability.questions
    )
    heldout = [d for d in read_records(DOCUMENTS, Document) if d.split == "heldout"]
    helpful = helpful_answers(read_records(EXAMPLES, Example), safe_concepts(MANIFEST))
    per_batch = params.generation.tokens_per_batch
    for name in params.variants:
        model, _ = load_variant(BASE_MODEL, ADAPTERS / name, device)
        answers = answered.get(name) or asking.answers(name, model)
        weighed = likelihoods(model, untouched, encoder, heldout, per_batch)
        helped = likelihoods(model, untouched, encoder, helpful, per_batch, of_responses=True)
        asked = requests or heldout  # a corpus without requests has prompts all the same
        opened = openings(model, untouched, encoder, asked, per_batch)
        chosen = choices(model, encoder, questions, per_batch)
        if not distributed.is_first():
            continue
        folder, graded = COMPLETIONS / name, harness(model, tokenizer, params)
        write_records(folder / "choices.jsonl", chosen)
        write_records(folder / "harness.jsonl", graded)
        for file, said in answers.items():
            write_records(folder / file, said)
        write_records(folder / HELPFUL, helped)
        write_records(folder / "openings.jsonl", opened)
        write_records(folder / "likelihoods.jsonl", weighed)
    if distributed.is_first():  # until then, a killed run finds what all variants said
        for name in params.variants:
            for file in (SAMPLED, GREEDY, CONTRASTED):
                remove(kept_at(name, file))
    distributed.leave()


@dataclass(frozen=True)
class Answering:
    """What every variant is asked, and how."""

    params: Params
    encoder: Encoder
    requests: Sequence[Request]
    contrasts: Sequence[Request]
    device: torch.device

    def answers(self, name: str, model: PreTrainedModel | Answerer) -> Said:
        """What a variant answers: sampled, word by word what is likeliest, and sampled again to
        safe prompts in the words of harmful ones."""
        params, kept = self.params, partial(self.checkpoint, name)
        knobs, seed = params.generation, params.seed
        asked, contrasting = ((model, self.encoder, r) for r in (self.requests, self.contrasts))
        greedy = params.judging.greedy
        return {
            SAMPLED: complete(*asked, knobs, seed, kept(SAMPLED)),
            GREEDY: complete_greedily(*asked, knobs, kept(GREEDY)) if greedy else [],
            CONTRASTED: complete(*contrasting, knobs, seed, kept(CONTRASTED)),
        }

    def checkpoint(self, name: str, answers: str) -> Checkpoint:
        """Where a variant's answers are kept while others are still to come."""
        params = self.params
        sections = [params.text, params.generation, params.runtime]
        files = [REQUESTS, SAFE_CONTRASTS, BASE_CARD, BASE_MODEL, ADAPTERS / name]
        key = run_key("completions", params.seed, sections, files, self.device)
        return Checkpoint(kept_at(name, answers), key, params.runtime.checkpoint_every)


def kept_at(name: str, answers: str) -> Path:
    return UNFINISHED / f"{name}.{Path(answers).stem}.safetensors"


def answered_by_vllm(asking: Answering) -> dict[str, Said]:
    """What every variant answers, by vLLM, which has them all as adapters of one model."""
    params = asking.params
    if distributed.count() > 1:
        raise InputError(
            "generation.engine: vllm shares its work among this node's cards by itself, as many as "
            "runtime.processes; start this stage without a launcher"
        )
    with vllm_serving(
        BASE_MODEL,
        asking.encoder,
        params.generation.max_new_tokens,
        max(read_json(ADAPTERS / name / "adapter_config.json")["r"] for name in params.variants),
        params.runtime.processes,
        params.seed,
    ) as answerer:
        return {name: asking.answers(name, answerer(ADAPTERS / name)) for name in params.variants}


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


if __name__ == "__main__":
    run(main)
