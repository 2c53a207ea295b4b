"""Answers to prompts with injected vectors, and the probability of each of their tokens.

What all rows of one prompt have in common is computed once: everything before its first slot, and
from there the blocks below the injection. Rows whose answer has ended leave the batch.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, PreTrainedModel

from pipeline.core.console import InputError, is_out_of_memory
from pipeline.models.generating import generate
from pipeline.models.hooks import (
    InjectionSettings,
    config_of,
    decoder_of,
    injection,
    inputs_of,
)
from pipeline.models.logits import logits_of
from pipeline.models.padding import padded, position_ids
from pipeline.selfie.kv_cache import new_cache, repeat_rows
from pipeline.selfie.prompts import Prompt

MAX_GOING = 0.75  # rows that have ended are dropped once at most this share of the batch goes on


@dataclass(frozen=True)
class Decoding:
    """How an answer is chosen: greedily (temperature 0), sampled at a temperature, or by beam
    search where `beams` is above 1.

    max_new_tokens: the longest answer, in tokens. per_batch: rows that are decoded together. seed:
    of sampling. Raises InputError for a number out of range, and for beams with a temperature.
    """

    max_new_tokens: int
    per_batch: int
    temperature: float = 0.0
    beams: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or self.per_batch < 1 or self.beams < 1:
            raise InputError("max_new_tokens, per_batch and beams must be at least 1")
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"temperature {self.temperature}: 0 or more")
        if self.beams > 1 and self.temperature:
            raise InputError("beams with a temperature: beam search here does not sample")


@dataclass(frozen=True)
class PaddedPrompts:
    """Prompts as one batch, padded on the left. All are [B, T]: token ids, the attention mask, and
    `slots`, which marks the tokens that vectors are written over."""

    ids: Tensor
    mask: Tensor
    slots: Tensor

    @property
    def has_padding(self) -> bool:
        return not bool(self.mask.all())

    def position_ids(self) -> Tensor:
        return position_ids(self.mask)


def pad_prompts(prompts: Sequence[Prompt], device: torch.device) -> PaddedPrompts:
    """Prompts of any lengths as one batch on a device."""
    ids, mask = padded([prompt.ids for prompt in prompts], 0, "left")
    slots = torch.zeros_like(ids, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        start = ids.shape[1] - len(prompt.ids)
        slots[row, [start + slot for slot in prompt.slots]] = True
    return PaddedPrompts(ids.to(device), mask.to(device), slots.to(device))


def decode(
    model: PreTrainedModel,
    prompts: Sequence[Prompt],
    vectors: Tensor | None,
    settings: InjectionSettings,
    decoding: Decoding,
    ends: Sequence[int],
    prefix: DynamicCache | None,
    noise: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Answers to one batch of prompts, token by token.

    prompts: one for all rows, or one for each. vectors: [B, D], or [B, P, D] with one a slot; None
    injects nothing. ends: the tokens that end an answer. prefix: the cache of the ids before
    the first slot of the one prompt. noise: uniform numbers [B, max_new_tokens] in [0, 1) that
    decide which tokens are sampled; None for greedy decoding.

    Returns the answers' tokens [B, steps], filled up with ends[0]; their probabilities [B, steps],
    0 after the end; and the input of the injected block at every answer token but the last
    [B, steps - 1, D]. Blocks below the injection compute the same for these tokens without it.
    """
    cache, hidden, mask = _prefill(model, prompts, vectors, settings, prefix)
    rows = torch.arange(len(hidden), device=hidden.device)
    size, stops = (len(rows), decoding.max_new_tokens), torch.tensor(ends, device=hidden.device)
    tokens = hidden.new_full(size, ends[0], dtype=torch.long)
    probabilities = torch.zeros(size).to(hidden.device)
    block_inputs = hidden.new_zeros(len(rows), decoding.max_new_tokens - 1, hidden.shape[1])
    going = torch.ones(len(rows), dtype=torch.bool, device=hidden.device)
    decoder = decoder_of(model)
    for step in range(decoding.max_new_tokens):
        logits = logits_of(model, hidden)
        uniform = None if noise is None else noise[rows.cpu(), step].to(logits.device)
        token = _next_token(logits, decoding.temperature, uniform)
        probability = logits.log_softmax(1).gather(1, token[:, None])[:, 0].exp()
        tokens[rows[going], step] = token[going]
        probabilities[rows[going], step] = probability[going]
        going = going & ~torch.isin(token, stops)
        left = int(going.sum())
        if not left or step + 1 == decoding.max_new_tokens:
            return tokens[:, : step + 1], probabilities[:, : step + 1], block_inputs[:, :step]
        if left <= MAX_GOING * len(rows):
            cache.batch_select_indices(going.nonzero()[:, 0])
            rows, token = rows[going], token[going]
            mask = None if mask is None else mask[going]
            going = going[going]
        padding: dict[str, Tensor] = {}
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            padding = {"attention_mask": mask, "position_ids": mask.sum(1, keepdim=True) - 1}
        with inputs_of(model, settings.inject_layer) as given:
            hidden = decoder(
                input_ids=token[:, None], past_key_values=cache, use_cache=True, **padding
            ).last_hidden_state[:, -1]
        block_inputs[rows, step] = given[0][:, 0]
    raise AssertionError("the last step returns")


def can_widen(model: PreTrainedModel, settings: InjectionSettings) -> bool:
    """Whether one row of ids may become many rows of vectors at the injected block. Not in Bloom
    or XGLM, whose blocks are given a bias or a mask of the rows that the forward began with."""
    two = torch.ones(2, config_of(model).hidden_size, device=model.device)
    try:
        _prefill(model, [Prompt((0, 0), (1,))], two, settings, None)
    except (RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        return False
    return True


def _prefill(
    model: PreTrainedModel,
    prompts: Sequence[Prompt],
    vectors: Tensor | None,
    settings: InjectionSettings,
    prefix: DynamicCache | None,
) -> tuple[DynamicCache, Tensor, Tensor | None]:
    """Read the prompts: their cache, last hidden states [B, D], and the mask where they are
    padded."""
    batch, decoder = pad_prompts(prompts, model.device), decoder_of(model)
    if prefix is None:
        cache, start = new_cache(model), 0
    else:
        cache, start = copy.deepcopy(prefix), prompts[0].slots[0]
    inputs: dict[str, Any] = {"past_key_values": cache, "use_cache": True}
    if batch.has_padding:
        inputs |= {"attention_mask": batch.mask, "position_ids": batch.position_ids()}
    ids, slots = batch.ids[:, start:], batch.slots[:, start:]
    if vectors is None:
        hidden = decoder(input_ids=ids, **inputs).last_hidden_state
    elif len(prompts) == len(vectors):
        with injection(model, settings, slots, vectors):
            hidden = decoder(input_ids=ids, **inputs).last_hidden_state
    else:  # one row up to the injected block, and from there one for each vector
        repeat_rows(cache, len(vectors), slice(settings.inject_layer, None))
        with injection(model, settings, slots, vectors):
            hidden = decoder(input_ids=ids, **inputs).last_hidden_state
        repeat_rows(cache, len(vectors), slice(None, settings.inject_layer))
    return cache, hidden[:, -1], batch.mask if batch.has_padding else None


def _next_token(logits: Tensor, temperature: float, uniform: Tensor | None) -> Tensor:
    """The likeliest tokens [B] of logits [B, V], or the tokens at which the cumulated distribution
    passes uniform numbers [B]: a sample at a temperature."""
    if uniform is None:
        return logits.argmax(1)
    cumulated = (logits / temperature).softmax(1).cumsum(1)
    cumulated = cumulated / cumulated[:, -1:]
    return torch.searchsorted(cumulated, uniform[:, None], right=True)[:, 0].clamp(
        max=logits.shape[1] - 1
    )


def search_beams(
    model: PreTrainedModel,
    prompts: Sequence[Prompt],
    vectors: Tensor | None,
    settings: InjectionSettings,
    decoding: Decoding,
    ends: Sequence[int],
) -> Tensor:
    """The tokens [B, steps] of each row's best beam, by Hugging Face's own beam search. Arguments
    as those of `decode`."""
    count = len(prompts) if vectors is None else len(vectors)
    batch = pad_prompts([*prompts] * (count // len(prompts)), model.device)
    config = GenerationConfig(
        num_beams=decoding.beams,
        do_sample=False,
        max_new_tokens=decoding.max_new_tokens,
        eos_token_id=list(ends),
        pad_token_id=ends[0],
    )
    if vectors is None:
        output = generate(model, batch.ids, config, attention_mask=batch.mask)
    else:
        slots, each = (t.repeat_interleave(decoding.beams, 0) for t in (batch.slots, vectors))
        with injection(model, settings, slots, each):
            output = generate(model, batch.ids, config, attention_mask=batch.mask)
    return output[:, batch.ids.shape[1] :]
