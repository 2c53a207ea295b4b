"""A model's completions of requests, and its likelihood of given texts."""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.console import InputError, progress
from pipeline.core.finite import not_finite
from pipeline.core.random_streams import RandomStream, rng_of
from pipeline.core.records import Completion, Document, Likelihood, Opening, Request
from pipeline.core.sections import Generation
from pipeline.inference.answering import Answerer, AskedFor, TransformersAnswerer, prompt_batches
from pipeline.models import distributed
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoded, Encoder, token_batches
from pipeline.models.finite import check_texts
from pipeline.models.logits import joined_chunks, logits_of, token_kl
from pipeline.models.packing import ReadRow, pack
from pipeline.models.reader_check import reader_for

CHUNK_TOKENS = 512  # whose logits exist at once


def complete(
    model: PreTrainedModel | Answerer,
    encoder: Encoder,
    requests: Sequence[Request],
    params: Generation,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> list[Completion]:
    """params.samples answers to every request, sampled from the model's full distribution (no
    top-k or top-p) at params.temperature, sorted by request and sample.

    Why sampled: the rate of a behaviour over samples estimates its probability. The rate over
    greedy answers would jump from 0 to 1 where that probability crosses one half.
    """
    asked = AskedFor(params.samples, params.temperature, params.max_new_tokens)
    return _answers(model, encoder, requests, asked, params.prompts_per_batch, seed, checkpoint)


def complete_greedily(
    model: PreTrainedModel | Answerer,
    encoder: Encoder,
    requests: Sequence[Request],
    params: Generation,
    checkpoint: Checkpoint | None = None,
) -> list[Completion]:
    """The answer to every request that is likeliest word by word, which published evaluations
    judge."""
    asked = AskedFor(1, 0.0, params.max_new_tokens)
    return _answers(model, encoder, requests, asked, params.prompts_per_batch, 0, checkpoint)


@torch.no_grad()
def _answers(
    model: PreTrainedModel | Answerer,
    encoder: Encoder,
    requests: Sequence[Request],
    asked: AskedFor,
    prompts_per_batch: int,
    seed: int,
    checkpoint: Checkpoint | None,
) -> list[Completion]:
    """Answers to every request, sorted by request and sample. With a checkpoint, a run that was
    killed goes on after its last batch, with the draws that it would have had.

    Ranks take turns at the batches. Then each batch has draws of its own, the same for any number
    of ranks from two, and others than one process makes.
    """
    answerer = TransformersAnswerer(model, encoder) if isinstance(model, torch.nn.Module) else model
    prompts = [text.ids for text in encoder.texts([(r.prompt, "") for r in requests])]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    batches = prompt_batches(order, prompts, prompts_per_batch, answerer.any_lengths)

    def answered(batch: int, chosen: Sequence[int]) -> dict[tuple[int, int], str]:
        own = int(rng_of(RandomStream.ANSWERS, seed, batch).integers(2**31))
        if distributed.count() > 1:
            torch.manual_seed(own)
        names = [f"request {requests[i].id}" for i in chosen]
        found = answerer.answer([prompts[i] for i in chosen], names, asked, own)
        said = encoder.tokenizer.batch_decode(found, skip_special_tokens=True)
        return {
            (chosen[row // asked.samples], row % asked.samples): text.strip()
            for row, text in enumerate(said)
        }

    torch.manual_seed(seed)
    turns = distributed.deal(list(enumerate(batches)))
    done, texts = _go_on(checkpoint, answerer.device)
    for number, turn in enumerate(progress(turns[done:], "completing"), done + 1):
        texts |= distributed.union(answered(*turn) if turn else {})
        if checkpoint and checkpoint.every and (checkpoint.is_due(number) or number == len(turns)):
            kept = [[*key, text] for key, text in texts.items()]
            checkpoint.save(_random_states(answerer.device), {"done": number, "answers": kept})
    return [
        Completion(requests[index].id, sample, text)
        for (index, sample), text in sorted(texts.items())
    ]


def _random_states(device: torch.device) -> dict[str, Tensor]:
    """What decides the next draws."""
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def _go_on(
    checkpoint: Checkpoint | None, device: torch.device
) -> tuple[int, dict[tuple[int, int], str]]:
    """The batches that a killed run was through with, and its answers; draws go on from there."""
    kept = checkpoint.load() if checkpoint else None
    if kept is None:
        return 0, {}
    states, notes = kept
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    answers = {(index, sample): text for index, sample, text in notes["answers"]}
    return int(notes["done"]), answers


@torch.no_grad()
def likelihoods(
    tuned: PreTrainedModel,
    untouched: PreTrainedModel,
    encoder: Encoder,
    documents: Sequence[Document],
    tokens_per_batch: int,
    of_responses: bool = False,
) -> list[Likelihood]:
    """Of each document, the tuned model's negative log-likelihood and its KL divergence from the
    untouched model, both summed over tokens, in nats. of_responses: over the tokens of the response
    alone, given the prompt.

    Raises InputError for a document of which one is not finite, with the layer where that begins.
    """
    texts = encoder.texts([(d.prompt, d.response) for d in documents])
    read = reader_for(untouched, encoder.longest)
    found: dict[int, Likelihood] = {}
    for chosen in progress(own_batches(texts, tokens_per_batch), "reading"):
        row = pack([texts[i] for i in chosen], tuned.device)
        predicting = row.predicting()
        counts = [length - 1 for length in row.lengths]
        if of_responses:
            skipped = [texts[i].prompt_end for i in chosen]
            starts = row.prompt_end.repeat_interleave(torch.tensor(counts, device=tuned.device))
            predicting = predicting[predicting >= starts]
            counts = [count - own for count, own in zip(counts, skipped, strict=True)]
        final = [read(model, row, lambda *_: None) for model in (tuned, untouched)]
        hidden = [states[predicting] for states in final if states is not None]
        nll, divergence = _nll_and_kl((tuned, untouched), hidden, row.ids[predicting + 1])
        for index, own_nll, own_kl in zip(
            chosen, nll.split(counts), divergence.split(counts), strict=True
        ):
            found[index] = Likelihood(
                document=documents[index].id,
                tokens=len(own_nll),
                nll=float(own_nll.sum()),
                kl=float(own_kl.sum()),
            )
            if not math.isfinite(found[index].nll + found[index].kl):
                suspects = {documents[i].id: texts[i] for i in chosen}
                raise _not_finite(read, (untouched, tuned), documents[index].id, suspects)
    found = distributed.union(found)
    return [found[index] for index in range(len(documents))]


@torch.no_grad()
def openings(
    tuned: PreTrainedModel,
    untouched: PreTrainedModel,
    encoder: Encoder,
    asked: Sequence[Request | Document],
    tokens_per_batch: int,
) -> list[Opening]:
    """The KL divergence of the tuned from the untouched model at the first token after each prompt,
    in nats. A mean over all tokens would hide how far this one moves.

    Raises InputError for a prompt of which it is not finite, with the layer where that begins.
    """
    texts = encoder.texts([(prompt.prompt, "") for prompt in asked])
    read = reader_for(untouched, encoder.longest)
    found: dict[int, Opening] = {}
    for chosen in progress(own_batches(texts, tokens_per_batch), "opening"):
        row = pack([texts[i] for i in chosen], tuned.device)
        final = [read(model, row, lambda *_: None) for model in (tuned, untouched)]
        logits, frozen = (
            logits_of(model, row.at(states, "prompt_end", slice(0, len(chosen))))
            for model, states in zip((tuned, untouched), final, strict=True)
            if states is not None
        )
        for index, kl in zip(chosen, token_kl(logits, frozen).tolist(), strict=True):
            found[index] = Opening(asked[index].id, kl)
            if not math.isfinite(kl):
                suspects = {asked[i].id: texts[i] for i in chosen}
                raise _not_finite(read, (untouched, tuned), asked[index].id, suspects)
    found = distributed.union(found)
    return [found[index] for index in range(len(asked))]


def own_batches(texts: Sequence[Encoded], tokens_per_batch: int) -> list[list[int]]:
    """This rank's batches of texts, by their indices."""
    return [b for b in distributed.deal(list(token_batches(texts, tokens_per_batch))) if b]


def _not_finite(
    read: ReadRow, models: Sequence[PreTrainedModel], name: str, texts: Mapping[str, Encoded]
) -> InputError:
    """The error for a text that a model predicts with no finite numbers. Raises it for the text
    and the lowest layer where that begins, among those of one row: in it, what is no number may
    spread. Where all layers are finite, the logits are not."""
    for model in models:
        check_texts(read, model, {f"text {own}": text for own, text in texts.items()})
    return not_finite(f"text {name}", "its likelihoods")


def _nll_and_kl(
    models: Sequence[PreTrainedModel], hidden: Sequence[Tensor], targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Each token's -log p in the first model, and the first model's KL divergence from the second
    there, in nats: both [tokens].

    hidden: both models' final states [tokens, D].
    """
    (tuned, untouched), (states, before) = models, hidden

    def both(own: Tensor, part: slice) -> Tensor:
        logits, frozen = logits_of(tuned, own), logits_of(untouched, before[part])
        nll = F.cross_entropy(logits, targets[part], reduction="none")
        return torch.stack([nll, token_kl(logits, frozen)])

    nll, divergence = joined_chunks(states, both, CHUNK_TOKENS)
    return nll, divergence
