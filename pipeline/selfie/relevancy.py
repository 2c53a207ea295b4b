"""The probabilities of given answers to a prompt, with an injection and without one.

Their difference, token by token, is the relevancy of an interpretation (arXiv 2403.10949). Their
product is how likely a model finds an answer that it was not left to choose.
"""

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from pipeline.models.hooks import InjectionSettings, decoder_of, read_injected
from pipeline.models.logits import joined_chunks, logits_of
from pipeline.models.padding import position_ids
from pipeline.selfie.decoding import pad_prompts
from pipeline.selfie.kv_cache import new_cache, started_at_block
from pipeline.selfie.prompts import Prompt

LOGIT_TOKENS = 256  # whose logits exist at once
MOSTLY_DISTINCT = 0.75  # above this share of distinct answers, each is read as a row of its own


@dataclass(frozen=True)
class PlainPrefill:
    """A prompt read without injection: its cache of one row, and its last hidden state [1, D]."""

    cache: DynamicCache
    hidden: Tensor


def prefill_plain(model: PreTrainedModel, prompt: Prompt) -> PlainPrefill:
    """Read a prompt as it stands, placeholder tokens included."""
    cache, ids = new_cache(model), torch.tensor([prompt.ids], device=model.device)
    output = decoder_of(model)(input_ids=ids, past_key_values=cache, use_cache=True)
    return PlainPrefill(cache, output.last_hidden_state[:, -1])


def plain_probabilities(
    model: PreTrainedModel,
    prefill: PlainPrefill,
    tokens: Tensor,
    lengths: Tensor,
    block: int = 0,
    block_inputs: Tensor | None = None,
) -> Tensor:
    """P(token | prompt, the answer before it) of answers [N, steps] to one prompt, with nothing
    injected: [N, steps], 0 from each answer's length [N] on.

    block_inputs: the input of `block` at each token but the last [N, steps - 1, D], where it is
    known; the blocks below do not run then. Tokens are read in spans of 2, 2, 4, 8, ... In each
    span, answers that are equal up to its end share a row. Once most answers have a row of their
    own, the rest is one span, because every further split copies the cache.
    """
    cache, steps = copy.deepcopy(prefill.cache), tokens.shape[1]
    probabilities = torch.zeros(tokens.shape)
    probabilities[:, 0] = logits_of(model, prefill.hidden)[0].softmax(0).cpu()[tokens[:, 0]]
    cache_row = torch.zeros(len(tokens), dtype=torch.long)  # in which each answer goes on
    start, end = 0, 2
    while len(going := (lengths > start + 1).nonzero()[:, 0]):
        span = slice(start, min(end, int(lengths.max()) - 1))
        distinct, which, first = _distinct_rows(tokens[going, : span.stop + 1])
        cache.batch_select_indices(cache_row[going][first].to(model.device))
        known = None if block_inputs is None else block_inputs[going[first], span]
        hidden = _read_on(model, cache, distinct[:, span], block, known)
        targets = distinct[:, start + 1 :].to(model.device)
        found = _token_probabilities(model, hidden, targets).cpu()
        probabilities[going, start + 1 : span.stop + 1] = found[which]
        cache_row[going] = which
        mostly_distinct = len(distinct) > MOSTLY_DISTINCT * len(going)
        start, end = end, steps if mostly_distinct else 2 * end
    return probabilities.masked_fill(torch.arange(steps) >= lengths[:, None], 0.0)


def _distinct_rows(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct rows, which of them each row is, and for each of them the index of one row that
    equals it."""
    distinct, which = rows.unique(dim=0, return_inverse=True)
    index = torch.zeros(len(distinct), dtype=torch.long)
    return distinct, which, index.index_copy_(0, which, torch.arange(len(rows)))


def _read_on(
    model: PreTrainedModel,
    cache: DynamicCache,
    ids: Tensor,
    block: int,
    block_inputs: Tensor | None,
) -> Tensor:
    """The final hidden states [B, T, D] of ids after a cache, which grows by them."""
    start = (
        nullcontext()
        if block_inputs is None
        else started_at_block(model, block, block_inputs, cache)
    )
    with start:
        output = decoder_of(model)(
            input_ids=ids.to(model.device), past_key_values=cache, use_cache=True
        )
    hidden: Tensor = output.last_hidden_state
    return hidden


def answer_probabilities(
    model: PreTrainedModel,
    prompts: Sequence[Prompt],
    vectors: Tensor | None,
    settings: InjectionSettings | None,
    tokens: Tensor,
) -> Tensor:
    """P(token | prompt, the answer before it) of answers [B, steps], in one forward over prompts
    and answers: [B, steps].

    prompts: one for each answer. vectors: [B, D], or [B, P, D] with one for each slot; None injects
    nothing, and needs no settings.
    """
    batch = pad_prompts(prompts, model.device)
    tokens = tokens.to(model.device)
    ids = torch.cat([batch.ids, tokens[:, :-1]], 1)
    mask = torch.cat([batch.mask, torch.ones_like(tokens[:, :-1])], 1)
    inputs = {"attention_mask": mask, "position_ids": position_ids(mask)}
    if vectors is None or settings is None:
        hidden = decoder_of(model)(input_ids=ids, use_cache=False, **inputs).last_hidden_state
    else:
        slots = torch.cat([batch.slots, torch.zeros_like(tokens[:, :-1]).bool()], 1)
        hidden = read_injected(model, ids, settings, slots, vectors, **inputs)
    return _token_probabilities(model, hidden[:, batch.ids.shape[1] - 1 :], tokens)


@torch.no_grad()
def answer_log_likelihoods(
    model: PreTrainedModel,
    prompts: Sequence[Prompt],
    vectors: Tensor | None,
    settings: InjectionSettings | None,
    answers: Sequence[Sequence[int]],
    per_batch: int,
) -> Tensor:
    """log p(answer | prompt) of every one of some answers' ids to every prompt, in nats:
    [N, answers].

    prompts: one for all rows, or one for each. vectors: [N, D], one a row; None injects nothing,
    and needs no settings. `per_batch` answers are read together.
    """
    count = len(prompts) if vectors is None else len(vectors)
    asked = [*prompts] * (count if len(prompts) == 1 else 1)
    lengths = torch.tensor([len(ids) for ids in answers])
    steps = int(lengths.max())
    tokens = torch.tensor([[*ids, *[0] * (steps - len(ids))] for ids in answers])
    by_length = sorted(range(count), key=lambda row: len(asked[row].ids))
    pairs = torch.cartesian_prod(torch.tensor(by_length), torch.arange(len(answers)))
    found = torch.zeros(count, len(answers))
    for rows, columns in (part.unbind(1) for part in pairs.split(per_batch)):
        own = None if vectors is None else vectors[rows]
        chosen = [asked[row] for row in rows.tolist()]
        probabilities = answer_probabilities(model, chosen, own, settings, tokens[columns]).cpu()
        real = torch.arange(steps) < lengths[columns, None]
        # A probability of 0 is one that was too small for float32: its logarithm stays finite.
        positive = probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny)
        found[rows, columns] = (positive.log() * real).sum(1)
    return found


def _token_probabilities(model: PreTrainedModel, hidden: Tensor, tokens: Tensor) -> Tensor:
    """The probabilities [B, steps], in float32, of tokens [B, steps] by the final hidden states
    [B, steps, D] that predict them."""
    targets = tokens.flatten()

    def probability(states: Tensor, part: slice) -> Tensor:
        logits = logits_of(model, states)
        return logits.log_softmax(1).gather(1, targets[part, None])[:, 0].exp()

    found = joined_chunks(hidden.flatten(0, 1), probability, LOGIT_TOKENS)
    return found.view(tokens.shape)
