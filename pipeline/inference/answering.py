"""Batches of prompts answered: by the library's own generation here, or by an engine that does the
same (pipeline/inference/vllm_answers.py)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import GenerationConfig, PreTrainedModel

from pipeline.models.encoding import Encoder, ends_of
from pipeline.models.finite import FiniteLogits
from pipeline.models.generating import generate, ignores_padding
from pipeline.models.padding import padded


@dataclass(frozen=True)
class AskedFor:
    """How prompts are to be answered: so many times each, sampled from the model's full
    distribution (no top-k or top-p); at temperature 0, by what is likeliest word by word."""

    samples: int
    temperature: float
    max_new_tokens: int


class Answerer(Protocol):
    """Answers a batch of prompts."""

    any_lengths: bool  # whether prompts of one batch may have different lengths
    device: torch.device  # whose generator it draws from

    def answer(
        self, prompts: Sequence[Sequence[int]], names: Sequence[str], asked: AskedFor, seed: int
    ) -> list[list[int]]:
        """The ids of asked.samples answers to each prompt, given by its ids, one after the other.

        names: of the prompts, for a message. seed: of the batch's own draws, for an answerer that
        does not draw from torch's generators.
        """


class TransformersAnswerer:
    """Answers by the library's own generation, with draws of torch's generators."""

    def __init__(self, model: PreTrainedModel, encoder: Encoder):
        self.model, self.pad, self.device = model, encoder.pad, model.device
        self.ends = ends_of(model, encoder.tokenizer, encoder.end)
        self.any_lengths = ignores_padding(model)

    def answer(
        self, prompts: Sequence[Sequence[int]], names: Sequence[str], asked: AskedFor, _: int
    ) -> list[list[int]]:
        """As of Answerer. Raises InputError for a prompt whose logits are not finite."""
        sampling: dict[str, Any] = (
            {"do_sample": True, "temperature": asked.temperature, "top_k": 0}
            if asked.temperature
            else {"do_sample": False}
        )
        config = GenerationConfig(
            **sampling,
            max_new_tokens=asked.max_new_tokens,
            num_return_sequences=asked.samples,
            pad_token_id=self.pad,
            eos_token_id=self.ends,
        )
        ids, mask = (part.to(self.device) for part in padded(prompts, self.pad, "left"))
        finite = FiniteLogits(list(names), asked.samples)
        output = generate(self.model, ids, config, attention_mask=mask, logits_processor=[finite])
        answers: list[list[int]] = output[:, ids.shape[1] :].tolist()
        return answers


def prompt_batches(
    order: Sequence[int], prompts: Sequence[Sequence[int]], size: int, any_lengths: bool
) -> list[list[int]]:
    """Prompts in an order by length, in batches of at most a size; of one length each where a model
    does not ignore padding (any_lengths: it does)."""
    batches: list[list[int]] = []
    for index in order:
        last = batches[-1] if batches else []
        fits = any_lengths or (last and len(prompts[last[0]]) == len(prompts[index]))
        if last and len(last) < size and fits:
            last.append(index)
        else:
            batches.append([index])
    return batches
