"""How likely a model finds given answers to a prompt, and what an injection adds to that."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from pipeline.caching import read_ids
from pipeline.decoding import TOKENS, lay_out
from pipeline.hooks import Manner, decoder_of, logits_of, read_injected
from pipeline.prompts import Prompt

PARTED = 0.75  # the share of answers that are unlike each other, beyond which all are


def without_injection(
    model: PreTrainedModel,
    prompts: Sequence[Prompt],
    tokens: Tensor,
    lengths: Tensor,
    per_batch: int,
) -> Tensor:
    """P(token | prompt, the answer before it), nothing injected: [N, steps], 0 beyond `lengths`.

    prompts: one for all answers, or one for each. Answers to one prompt are read once as far as
    they are alike.
    """
    if len(prompts) > 1:
        size = max(1, TOKENS // (tokens.shape[1] + max(len(prompt.ids) for prompt in prompts)))
        parts = [slice(start, start + size) for start in range(0, len(tokens), size)]
        read = [with_injection(model, prompts[p], None, None, tokens[p]).cpu() for p in parts]
        odds = torch.cat(read)
    else:
        *before, last = prompts[0].ids
        opening = read_ids(model, before)
        answers, which = tokens.unique(dim=0, return_inverse=True)  # sorted: like ones are near
        long = torch.zeros(len(answers), dtype=torch.long).index_copy_(0, which, lengths)
        batches = zip(answers.split(per_batch), long.split(per_batch), strict=True)
        read = [_after(model, copy.deepcopy(opening), last, *batch) for batch in batches]
        odds = torch.cat(read)[which]
    return odds.masked_fill(torch.arange(tokens.shape[1]) >= lengths[:, None], 0.0)


def _after(
    model: PreTrainedModel, cache: DynamicCache, last: int, answers: Tensor, lengths: Tensor
) -> Tensor:
    """The probabilities of answers [B, steps] after a cache of one row and one more id.

    Read in spans of 2, 2, 4, 8, ... tokens: in each, answers that are alike to its end are one row.
    Once most are a row of their own, the rest is one span: rows that part copy what was read.
    """
    odds = torch.zeros(answers.shape)
    told = torch.cat([torch.full((len(answers), 1), last), answers], 1)
    row = torch.zeros(len(answers), dtype=torch.long)  # of the cache, where each answer goes on
    start, end = 0, 2
    while len(going := (lengths > start).nonzero()[:, 0]):
        span = slice(start, min(end, int(lengths.max())))
        alike, which = answers[going, : span.stop].unique(dim=0, return_inverse=True)
        parent = torch.zeros(len(alike), dtype=torch.long).index_copy_(0, which, row[going])
        ids = torch.zeros_like(alike[:, span]).index_copy_(0, which, told[going, span])
        cache.batch_select_indices(parent.to(model.device))
        hidden = decoder_of(model)(
            input_ids=ids.to(model.device), past_key_values=cache, use_cache=True
        ).last_hidden_state
        odds[going, span] = _odds(model, hidden, alike[:, span].to(model.device)).cpu()[which]
        row[going] = which
        parted = len(alike) > PARTED * len(going)
        start, end = end, answers.shape[1] if parted else 2 * end
    return odds


def with_injection(
    model: PreTrainedModel,
    prompts: Sequence[Prompt],
    vectors: Tensor | None,
    manner: Manner | None,
    tokens: Tensor,
) -> Tensor:
    """The same [B, steps] in one pass over prompts and answers, with vectors [B, D] or [B, P, D]
    in their places, or with nothing injected; one prompt for each answer."""
    layout = lay_out(prompts, model.device)
    tokens = tokens.to(model.device)
    ids = torch.cat([layout.ids, tokens[:, :-1]], 1)
    mask = torch.cat([layout.mask, torch.ones_like(tokens[:, :-1])], 1)
    told = {"attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}
    if vectors is None or manner is None:
        hidden = decoder_of(model)(input_ids=ids, use_cache=False, **told).last_hidden_state
    else:
        places = torch.cat([layout.places, torch.zeros_like(tokens[:, :-1]).bool()], 1)
        hidden = read_injected(model, ids, manner, places, vectors, **told)
    return _odds(model, hidden[:, layout.ids.shape[1] - 1 :], tokens)


def _odds(model: PreTrainedModel, hidden: Tensor, tokens: Tensor) -> Tensor:
    """The probabilities, in float32, of tokens [B, steps] by hidden states [B, steps, D]."""
    pairs = zip(hidden.flatten(0, 1).split(TOKENS), tokens.flatten().split(TOKENS), strict=True)
    found = []
    for states, said in pairs:
        logits = logits_of(model, states)
        found.append(logits.log_softmax(1).gather(1, said[:, None])[:, 0].exp())
    return torch.cat(found).view(tokens.shape)
