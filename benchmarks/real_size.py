"""The training step at a real model's size, the published one's and ours: time, tokens a second,
share of the card's peak, memory.

Random weights in the shape of Llama 3.1 8B, eight pairs and eight retained texts a step, target
layer 25, the published objective with activation checkpointing in both ways, or in the published
one alone. Prints one JSON line, last.

    .venv/bin/python -m benchmarks.real_size --device cuda --dtype bfloat16
"""

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.common import made_up_texts, peak_bytes, publish
from benchmarks.published_step import lay_out, published_terms
from benchmarks.step import VARIANT, gradient, published_objective
from pipeline.core.params import load_params
from pipeline.core.sections import Finetune, Text
from pipeline.models.building import train_tokenizer
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.lora import with_lora
from pipeline.models.peft_import import PeftModel
from pipeline.training.objective import Objective
from pipeline.training.step import StepTexts

PAIRS, HALF = 8, 512

Step = Callable[[Sequence[Encoded]], Tensor]


@dataclass(frozen=True)
class Shape:
    """A Llama's size, and the layer that it is trained at."""

    width: int
    feed_forward: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int
    target: int

    def block_work(self, lengths: Sequence[int], attended: int = 1) -> float:
        """Operations of one block going forward on texts, their attention counted so often."""
        keys = self.width * self.key_heads // self.heads
        weights = 2 * self.width * (self.width + keys) + 3 * self.width * self.feed_forward
        attention = sum(2 * self.width * length**2 for length in lengths)  # causal: half of all
        return 2 * weights * sum(lengths) + attended * attention

    def step_work(
        self,
        first: Sequence[int],
        second: Sequence[int],
        retained: Sequence[int],
        attended: int = 1,
    ) -> float:
        """Operations of our step, without those that checkpointing repeats: retained texts and
        first views are read to the end by both models. Frozen weights go back at the cost of going
        forward, attention at twice it."""
        both = [*first, *retained]
        whole = 2 * self.block_work(both, attended) + self.block_work(both, 2 * attended)
        below = self.block_work(second, attended) + self.block_work(second, 2 * attended)
        head = 3 * 2 * self.width * self.vocabulary * sum(first)
        return self.layers * whole + self.target * below + head


SHAPES = {
    "llama-3.1-8b": Shape(4096, 14336, 32, 32, 8, 128256, 25),
    "smollm2-135m": Shape(576, 1536, 30, 9, 3, 49152, 20),
    "tiny": Shape(64, 128, 3, 4, 2, 2048, 2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shape", choices=SHAPES, default="llama-3.1-8b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--checkpointing", action="store_true", help="in our step, too")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument(
        "--peak-tflops", type=float, default=989, help="the card's (H100 SXM, bf16)"
    )
    parser.add_argument("--out", type=Path, help="a file for the same JSON")
    options = parser.parse_args()
    bench = Bench(
        SHAPES[options.shape],
        torch.device(options.device),
        getattr(torch, options.dtype),
        options.checkpointing,
    )
    report = bench.compare(options.steps)
    report["share_of_peak"] = report.pop("operations_per_second") / (1e12 * options.peak_tflops)
    publish(report, options.out)


@dataclass(frozen=True)
class Bench:
    """Both ways of making a step, one after the other: a card holds one model of this size."""

    shape: Shape
    device: torch.device
    dtype: torch.dtype
    checkpointing: bool
    half: int = HALF  # tokens of the published layout

    def compare(self, steps: int) -> dict[str, float]:
        """Seconds of wall time a step and memory of both ways on the same texts; our tokens and
        operations a second."""
        batches = draw(steps)
        published = self.cost(self.published, batches)
        ours = self.cost(self.ours, batches)
        lengths = [[len(text.ids) for text in batch] for batch in batches]
        tokens = sum(sum(each) for each in lengths)
        work = sum(
            self.shape.step_work(each[:PAIRS], each[PAIRS : 2 * PAIRS], each[2 * PAIRS :])
            for each in lengths
        )
        return {
            "seconds_per_step": ours["seconds"] / steps,
            "published_seconds_per_step": published["seconds"] / steps,
            "time_ratio": published["seconds"] / ours["seconds"],
            "peak_gib": ours["peak"] / 2**30,
            "published_peak_gib": published["peak"] / 2**30,
            "memory_ratio": published["peak"] / ours["peak"],
            "weights_gib": ours["weights"] / 2**30,
            "tokens_per_step": tokens / steps,
            "tokens_per_second": tokens / ours["seconds"],
            "operations_per_second": work / ours["seconds"],
        }

    def cost(
        self, way: Callable[[PeftModel], Step], batches: Sequence[Sequence[Encoded]]
    ) -> dict[str, float]:
        """Seconds of all batches in a row, the peak of one, and the weights: the latter in bytes.

        The peak is on a card all that is used, elsewhere the rise above what was there before."""
        gc.collect()  # the other way's model
        adapted = self.adapted()
        step = way(adapted)
        step(batches[0])  # the first step loads kernels
        self.settle()
        start = time.perf_counter()
        for batch in batches:
            step(batch)
        self.settle()
        seconds = time.perf_counter() - start
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            step(batches[0])
            peak = torch.cuda.max_memory_allocated(self.device)
        else:
            peak = peak_bytes(lambda: step(batches[0]))
        weights = sum(weight.numel() * weight.element_size() for weight in adapted.parameters())
        return {"seconds": seconds, "peak": peak, "weights": weights}

    def ours(self, adapted: PeftModel) -> Step:
        asking, labels = load_params().asking, torch.arange(PAIRS)
        objective = Objective(
            adapted, new_encoder(), self.finetune(), VARIANT, asking, self.checkpointing
        )

        def step(texts: Sequence[Encoded]) -> Tensor:
            first, second, retained = (
                texts[start : start + PAIRS] for start in (0, PAIRS, 2 * PAIRS)
            )
            return gradient(adapted, objective(StepTexts(first, second, labels, retained)))

        return step

    def published(self, adapted: PeftModel) -> Step:
        inner: Any = adapted.get_base_model()
        inner.activation_checkpointing_enable({"use_reentrant": False})
        pad = int(new_encoder().tokenizer.pad_token_id)

        def step(texts: Sequence[Encoded]) -> Tensor:
            first, second, retained = (
                lay_out(texts[start : start + PAIRS], self.half, pad, self.device)
                for start in (0, PAIRS, 2 * PAIRS)
            )
            terms = published_terms(adapted, self.shape.target, retained, first, second)
            return gradient(adapted, terms)

        return step

    def adapted(self) -> PeftModel:
        shape, tokenizer = self.shape, new_encoder().tokenizer
        config = LlamaConfig(
            vocab_size=max(shape.vocabulary, len(tokenizer)),
            hidden_size=shape.width,
            intermediate_size=shape.feed_forward,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.key_heads,
            max_position_embeddings=2 * HALF,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            dtype=self.dtype,
        )
        former = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)
        try:
            with self.device:
                model = LlamaForCausalLM(config)
        finally:
            torch.set_default_dtype(former)
        return with_lora(model, self.finetune())

    def finetune(self) -> Finetune:
        return published_objective(self.shape.target)

    def settle(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@cache
def new_encoder() -> Encoder:
    tokenizer = train_tokenizer([text for pair in made_up_texts() for text in pair], 2048)
    return Encoder(tokenizer, Text(prompt_tokens=HALF - 8, response_tokens=HALF - 8))


def draw(steps: int) -> list[list[Encoded]]:
    """The texts of every step: PAIRS first views, as many second ones, and as many retained."""
    rng = np.random.default_rng(0)
    texts = new_encoder().texts(made_up_texts())
    return [
        [texts[i] for i in rng.choice(len(texts), 3 * PAIRS, replace=False)] for _ in range(steps)
    ]


if __name__ == "__main__":
    main()
