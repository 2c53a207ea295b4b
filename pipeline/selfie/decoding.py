"""What a model says after a prompt that vectors were written into, and how likely each token was.

What all rows of a prompt share is read once: everything before its first placeholder, and above
that the blocks below the injection. Rows that have ended leave the batch.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, PreTrainedModel

from pipeline.core.console import InputError, is_out_of_memory
from pipeline.models.hooks import Manner, config_of, decoder_of, injection, inputs_of
from pipeline.models.logits import logits_of
from pipeline.models.padding import padded, position_ids
from pipeline.selfie.kv_cache import new_cache, repeated
from pipeline.selfie.prompts import Prompt

TOKENS = 256  # whose logits exist at once
CROWDED = 0.75  # ended rows leave once no more than this share of the batch goes on


@dataclass(frozen=True)
class Search:
    """How answers are looked for: the likeliest token at every step (temperature 0), tokens drawn
    at a temperature, or the likeliest answer that `beams` beams find."""

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
class Layout:
    """Prompts as a batch, padded on the left: ids, mask and placeholders [B, T]."""

    ids: Tensor
    mask: Tensor
    places: Tensor

    @property
    def padded(self) -> bool:
        return not bool(self.mask.all())

    def positions(self) -> Tensor:
        return position_ids(self.mask)


def lay_out(prompts: Sequence[Prompt], device: torch.device) -> Layout:
    ids, mask = padded([prompt.ids for prompt in prompts], 0, "left")
    places = torch.zeros_like(ids, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        start = ids.shape[1] - len(prompt.ids)
        places[row, [start + place for place in prompt.places]] = True
    return Layout(ids.to(device), mask.to(device), places.to(device))


def decode(
    model: PreTrainedModel,
    prompts: Sequence[Prompt],
    vectors: Tensor | None,
    manner: Manner,
    search: Search,
    ends: Sequence[int],
    opening: DynamicCache | None,
    noise: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Answers to one batch: tokens [B, steps], ends[0] from the end on, their probabilities, and
    what the injected block was given of each but the last [B, steps - 1, D]. Nothing was injected
    into blocks below it: they would give the same without.

    prompts: one for all rows, or one for each. vectors: [B, D] or [B, P, D] by place; None injects
    nothing. opening: the cache of the ids before the first placeholder of the one prompt. noise:
    [B, max_new_tokens] in [0, 1), which decides what is drawn at a temperature.
    """
    cache, hidden, mask = _prefill(model, prompts, vectors, manner, opening)
    rows = torch.arange(len(hidden), device=hidden.device)
    size, stops = (len(rows), search.max_new_tokens), torch.tensor(ends, device=hidden.device)
    tokens, odds = (
        hidden.new_full(size, ends[0], dtype=torch.long),
        torch.zeros(size).to(hidden.device),
    )
    below = hidden.new_zeros(len(rows), search.max_new_tokens - 1, hidden.shape[1])
    going = torch.ones(len(rows), dtype=torch.bool, device=hidden.device)
    decoder = decoder_of(model)
    for step in range(search.max_new_tokens):
        logits = logits_of(model, hidden)
        drawn = None if noise is None else noise[rows.cpu(), step].to(logits.device)
        token = _next(logits, search.temperature, drawn)
        probability = logits.log_softmax(1).gather(1, token[:, None])[:, 0].exp()
        tokens[rows[going], step] = token[going]
        odds[rows[going], step] = probability[going]
        going = going & ~torch.isin(token, stops)
        left = int(going.sum())
        if not left or step + 1 == search.max_new_tokens:
            return tokens[:, : step + 1], odds[:, : step + 1], below[:, :step]
        if left <= CROWDED * len(rows):
            cache.batch_select_indices(going.nonzero()[:, 0])
            rows, token = rows[going], token[going]
            mask = None if mask is None else mask[going]
            going = going[going]
        told: dict[str, Tensor] = {}
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            told = {"attention_mask": mask, "position_ids": mask.sum(1, keepdim=True) - 1}
        with inputs_of(model, manner.inject_layer) as given:
            hidden = decoder(
                input_ids=token[:, None], past_key_values=cache, use_cache=True, **told
            ).last_hidden_state[:, -1]
        below[rows, step] = given[0][:, 0]
    raise AssertionError("the last step returns")


def can_widen(model: PreTrainedModel, manner: Manner) -> bool:
    """Whether one row of ids may become many rows of vectors at the injected block. Not in Bloom,
    whose blocks are given a bias for each row that there was at first."""
    two = torch.ones(2, config_of(model).hidden_size, device=model.device)
    try:
        _prefill(model, [Prompt((0, 0), (1,))], two, manner, None)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        return False
    return True


def _prefill(
    model: PreTrainedModel,
    prompts: Sequence[Prompt],
    vectors: Tensor | None,
    manner: Manner,
    opening: DynamicCache | None,
) -> tuple[DynamicCache, Tensor, Tensor | None]:
    """Read the prompts: their cache, last hidden states [B, D], and mask where they are padded."""
    layout, decoder = lay_out(prompts, model.device), decoder_of(model)
    if opening is None:
        cache, start = new_cache(model), 0
    else:
        cache, start = copy.deepcopy(opening), prompts[0].places[0]
    told: dict[str, Any] = {"past_key_values": cache, "use_cache": True}
    if layout.padded:
        told |= {"attention_mask": layout.mask, "position_ids": layout.positions()}
    ids, places = layout.ids[:, start:], layout.places[:, start:]
    if vectors is None:
        hidden = decoder(input_ids=ids, **told).last_hidden_state
    elif len(prompts) == len(vectors):
        with injection(model, manner, places, vectors):
            hidden = decoder(input_ids=ids, **told).last_hidden_state
    else:  # one row up to the injected block, and from there one for each vector
        repeated(cache, len(vectors), slice(manner.inject_layer, None))
        with injection(model, manner, places, vectors):
            hidden = decoder(input_ids=ids, **told).last_hidden_state
        repeated(cache, len(vectors), slice(None, manner.inject_layer))
    return cache, hidden[:, -1], layout.mask if layout.padded else None


def _next(logits: Tensor, temperature: float, drawn: Tensor | None) -> Tensor:
    if drawn is None:
        return logits.argmax(1)
    rising = (logits / temperature).softmax(1).cumsum(1)
    rising = rising / rising[:, -1:]
    return torch.searchsorted(rising, drawn[:, None], right=True)[:, 0].clamp(
        max=logits.shape[1] - 1
    )


def search_beams(
    model: PreTrainedModel,
    prompts: Sequence[Prompt],
    vectors: Tensor | None,
    manner: Manner,
    search: Search,
    ends: Sequence[int],
) -> Tensor:
    """Tokens [B, steps] of each row's best beam, by Hugging Face's own beam search."""
    count = len(prompts) if vectors is None else len(vectors)
    layout = lay_out([*prompts] * (count // len(prompts)), model.device)
    config = GenerationConfig(
        num_beams=search.beams,
        do_sample=False,
        max_new_tokens=search.max_new_tokens,
        eos_token_id=list(ends),
        pad_token_id=ends[0],
        repetition_penalty=1.0,
    )
    generate: Any = model.generate
    told = {"attention_mask": layout.mask, "generation_config": config}
    if vectors is None:
        output = generate(layout.ids, **told)
    else:
        places, each = (t.repeat_interleave(search.beams, 0) for t in (layout.places, vectors))
        with injection(model, manner, places, each):
            output = generate(layout.ids, **told)
    tokens: Tensor = output[:, layout.ids.shape[1] :]
    return tokens
