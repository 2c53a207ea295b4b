"""How likely a model finds given answers to a prompt, and what an injection adds to that."""

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from pipeline.models.hooks import Manner, decoder_of, read_injected
from pipeline.models.logits import joined_chunks, logits_of
from pipeline.models.padding import position_ids
from pipeline.selfie.decoding import TOKENS, lay_out
from pipeline.selfie.kv_cache import begun_at, new_cache
from pipeline.selfie.prompts import Prompt

PARTED = 0.75  # the share of answers that are unlike each other, beyond which all are


@dataclass(frozen=True)
class Plain:
    """A prompt read as it is: its cache of one row, and its last hidden state [1, D]."""

    cache: DynamicCache
    hidden: Tensor


def read_plain(model: PreTrainedModel, prompt: Prompt) -> Plain:
    cache, ids = new_cache(model), torch.tensor([prompt.ids], device=model.device)
    output = decoder_of(model)(input_ids=ids, past_key_values=cache, use_cache=True)
    return Plain(cache, output.last_hidden_state[:, -1])


def without_injection(
    model: PreTrainedModel,
    plain: Plain,
    tokens: Tensor,
    lengths: Tensor,
    block: int = 0,
    below: Tensor | None = None,
) -> Tensor:
    """P(token | prompt, the answer before it), nothing injected: [N, steps], 0 beyond `lengths`.

    below: what `block` is given of each token but the last [N, steps - 1, D], where that is known;
    the blocks below it do not run then. Tokens are read in spans of 2, 2, 4, 8, ...: in each,
    answers that are alike up to what follows it are one row. Once most are a row of their own, the
    rest is one span: rows that part copy what was read.
    """
    cache, steps = copy.deepcopy(plain.cache), tokens.shape[1]
    odds = torch.zeros(tokens.shape)
    odds[:, 0] = logits_of(model, plain.hidden)[0].softmax(0).cpu()[tokens[:, 0]]
    row = torch.zeros(len(tokens), dtype=torch.long)  # of the cache, where each answer goes on
    start, end = 0, 2
    while len(going := (lengths > start + 1).nonzero()[:, 0]):
        span = slice(start, min(end, int(lengths.max()) - 1))
        said = tokens[going, : span.stop + 1]
        alike, which, own = _distinct(said)
        cache.batch_select_indices(row[going][own].to(model.device))
        states = None if below is None else below[going[own], span]
        hidden = _read_on(model, cache, alike[:, span], block, states)
        odds[going, start + 1 : span.stop + 1] = _odds(
            model, hidden, alike[:, start + 1 :].to(model.device)
        ).cpu()[which]
        row[going] = which
        parted = len(alike) > PARTED * len(going)
        start, end = end, steps if parted else 2 * end
    return odds.masked_fill(torch.arange(steps) >= lengths[:, None], 0.0)


def _distinct(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct rows, which of them each row is, and one row that is each."""
    alike, which = rows.unique(dim=0, return_inverse=True)
    own = torch.zeros(len(alike), dtype=torch.long)
    return alike, which, own.index_copy_(0, which, torch.arange(len(rows)))


def _read_on(
    model: PreTrainedModel, cache: DynamicCache, ids: Tensor, block: int, states: Tensor | None
) -> Tensor:
    """The final hidden states [B, T, D] of ids after a cache, which grows by them."""
    begun = nullcontext() if states is None else begun_at(model, block, states, cache)
    with begun:
        output = decoder_of(model)(
            input_ids=ids.to(model.device), past_key_values=cache, use_cache=True
        )
    hidden: Tensor = output.last_hidden_state
    return hidden


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
    told = {"attention_mask": mask, "position_ids": position_ids(mask)}
    if vectors is None or manner is None:
        hidden = decoder_of(model)(input_ids=ids, use_cache=False, **told).last_hidden_state
    else:
        places = torch.cat([layout.places, torch.zeros_like(tokens[:, :-1]).bool()], 1)
        hidden = read_injected(model, ids, manner, places, vectors, **told)
    return _odds(model, hidden[:, layout.ids.shape[1] - 1 :], tokens)


def _odds(model: PreTrainedModel, hidden: Tensor, tokens: Tensor) -> Tensor:
    """The probabilities, in float32, of tokens [B, steps] by hidden states [B, steps, D]."""
    said = tokens.flatten()

    def probability(states: Tensor, part: slice) -> Tensor:
        logits = logits_of(model, states)
        return logits.log_softmax(1).gather(1, said[part, None])[:, 0].exp()

    return joined_chunks(hidden.flatten(0, 1), probability, TOKENS).view(tokens.shape)
