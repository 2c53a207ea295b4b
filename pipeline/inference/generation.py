"""A model's completions of requests, and its likelihood of given texts."""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from pipeline.core.console import InputError, progress
from pipeline.core.finite import not_finite
from pipeline.core.records import Completion, Document, Likelihood, Opening, Request
from pipeline.core.sections import Generation
from pipeline.models.encoding import Encoded, Encoder, ends_of, token_batches
from pipeline.models.finite import FiniteLogits, check_texts
from pipeline.models.generating import generate, ignores_padding
from pipeline.models.logits import joined_chunks, logits_of, token_kl
from pipeline.models.packing import ReadRow, pack
from pipeline.models.padding import padded
from pipeline.models.reader_check import reader_for

CHUNK_TOKENS = 512  # whose logits exist at once


@torch.no_grad()
def complete(
    model: PreTrainedModel,
    encoder: Encoder,
    requests: Sequence[Request],
    params: Generation,
    seed: int,
) -> list[Completion]:
    """params.samples answers to every request, sampled from the model's full distribution (no
    top-k or top-p) at params.temperature, sorted by request and sample.

    Why sampled: the rate of a behaviour over samples estimates its probability. The rate over
    greedy answers would jump from 0 to 1 where that probability crosses one half.
    """
    config = GenerationConfig(
        do_sample=True,
        temperature=params.temperature,
        top_k=0,
        max_new_tokens=params.max_new_tokens,
        num_return_sequences=params.samples,
        pad_token_id=encoder.pad,
        eos_token_id=ends_of(model, encoder.tokenizer, encoder.end),
    )
    prompts = [text.ids for text in encoder.texts([(r.prompt, "") for r in requests])]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    texts: dict[tuple[int, int], str] = {}
    alike = ignores_padding(model)
    torch.manual_seed(seed)
    for chosen in progress(_batches(order, prompts, params.prompts_per_batch, alike), "completing"):
        ids, mask = (
            part.to(model.device)
            for part in padded([prompts[i] for i in chosen], encoder.pad, "left")
        )
        finite = FiniteLogits([f"request {requests[i].id}" for i in chosen], params.samples)
        output = generate(model, ids, config, attention_mask=mask, logits_processor=[finite])
        answers = encoder.tokenizer.batch_decode(
            output[:, ids.shape[1] :], skip_special_tokens=True
        )
        for row, text in enumerate(answers):
            texts[chosen[row // params.samples], row % params.samples] = text.strip()
    return [
        Completion(requests[index].id, sample, text)
        for (index, sample), text in sorted(texts.items())
    ]


def _batches(
    order: Sequence[int], prompts: Sequence[Sequence[int]], size: int, any_lengths: bool
) -> list[list[int]]:
    """Prompts sorted by length in batches of at most a size; of one length each where a model does
    not ignore padding."""
    batches: list[list[int]] = []
    for index in order:
        last = batches[-1] if batches else []
        fits = any_lengths or (last and len(prompts[last[0]]) == len(prompts[index]))
        if last and len(last) < size and fits:
            last.append(index)
        else:
            batches.append([index])
    return batches


@torch.no_grad()
def likelihoods(
    tuned: PreTrainedModel,
    untouched: PreTrainedModel,
    encoder: Encoder,
    documents: Sequence[Document],
    tokens_per_batch: int,
) -> list[Likelihood]:
    """Of each document, the tuned model's negative log-likelihood and its KL divergence from the
    untouched model, both summed over tokens, in nats.

    Raises InputError for a document of which one is not finite, with the layer where that begins.
    """
    texts = encoder.texts([(d.prompt, d.response) for d in documents])
    read = reader_for(untouched, encoder.longest)
    found: dict[int, Likelihood] = {}
    for chosen in progress(list(token_batches(texts, tokens_per_batch)), "reading"):
        row = pack([texts[i] for i in chosen], tuned.device)
        predicting = row.predicting()
        final = [read(model, row, lambda *_: None) for model in (tuned, untouched)]
        hidden = [states[predicting] for states in final if states is not None]
        nll, divergence = _nll_and_kl((tuned, untouched), hidden, row.ids[predicting + 1])
        counts = [length - 1 for length in row.lengths]
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
    for chosen in progress(list(token_batches(texts, tokens_per_batch)), "opening"):
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
    return [found[index] for index in range(len(asked))]


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
