"""Interpretations, ours against the published way: time, memory, and the same words.

A small random Llama (8 blocks) puts 256 hidden states of real texts into words, thirty tokens each,
with relevancy. Both ways run in turn, in one process, on one thread, with the same weights. Prints
what was measured as one JSON line, last.

    .venv/bin/python -m benchmarks.selfie
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.common import (
    BLOCKS,
    REAL,
    VOCABULARY,
    peak_bytes,
    publish,
    random_llama,
    texts_of,
    user_seconds,
)
from benchmarks.published_selfie import Said, published_interpret
from pipeline.core.console import progress
from pipeline.models.building import train_tokenizer
from pipeline.models.encoding import ends_of
from pipeline.selfie.any_decoder import Injection, states_of
from pipeline.selfie.decoding import Decoding
from pipeline.selfie.interpret import answer_prompts
from pipeline.selfie.prompts import InterpretationPrompt

NEW_TOKENS, BATCH = 30, 256
BLOCK = 3  # where states are written, as in the paper
LAYERS = tuple(range(1, BLOCKS + 1))


@dataclass(frozen=True)
class Bench:
    """Both ways of interpreting spots of texts, with one set of weights."""

    model: PreTrainedModel
    eager: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    texts: Sequence[Sequence[int]]
    spots: Sequence[tuple[int, int]]
    prompt: InterpretationPrompt

    def published(self, keep: bool) -> list[Said]:
        model = self.eager if keep else self.model
        return [
            published_interpret(model, ids, self.spots, self.prompt, BLOCK, NEW_TOKENS, keep)
            for ids in self.texts
        ]

    def ours(self) -> list[tuple[str, tuple[float, ...]]]:
        vectors = []
        for ids in self.texts:
            states = states_of(self.model, ids, LAYERS)
            vectors += [states[layer][token] for layer, token in self.spots]
        found = answer_prompts(
            self.model, self.tokenizer, [self.prompt], torch.stack(vectors),
            Injection(BLOCK, "replace", 1.0), Decoding(NEW_TOKENS, BATCH),
            ends_of(self.model, self.tokenizer),
        )  # fmt: skip
        return [(answer.text, answer.absolute) for answer in found]


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    bench = new_bench(texts_of(options.texts), options.count)
    report = agreement(bench)
    ways: dict[str, Callable[[], object]] = {
        "published": lambda: bench.published(keep=True),
        "published_lean": lambda: bench.published(keep=False),
        "ours": bench.ours,
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in progress(range(options.rounds), "ways in turn"):
        for name, way in ways.items():
            spent[name].append(user_seconds(way))
    seconds = {name: min(times) for name, times in spent.items()}
    memory = {name: peak_bytes(way) for name, way in ways.items()}
    report |= {
        "time_ratio": seconds["published"] / seconds["ours"],
        "time_ratio_lean": seconds["published_lean"] / seconds["ours"],
        "memory_ratio": memory["published"] / memory["ours"],
        "interpretations": float(options.count),
        "interpretations_per_second": options.count / seconds["ours"],
    }
    for name in ways:
        print(f"{name:16} {seconds[name]:8.2f} s user  {memory[name] / 2**20:8.0f} MiB")
    publish(report, options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--texts", type=Path, default=REAL if REAL.is_dir() else None)
    parser.add_argument("--count", type=int, default=256, help="interpretations, in eights")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a file for the same JSON")
    return parser.parse_args()


def new_bench(table: Sequence[tuple[str, str]], count: int) -> Bench:
    """Spots of two texts: every layer of evenly spread tokens."""
    tokenizer = train_tokenizer([text for pair in table for text in pair], VOCABULARY)
    encoded = [tokenizer(f"{prompt} {response}").input_ids for prompt, response in table[:200]]
    texts = sorted(encoded, key=len)[len(encoded) // 2 :][:2]
    each = count // len(texts) // len(LAYERS)
    tokens = np.linspace(0, min(map(len, texts)) - 1, each).round().astype(int).tolist()
    parts = ("[INST] ", 0, 0, 0, 0, 0, " [/INST] Sure, I'll summarize your message:")
    return Bench(
        new_model(tokenizer, "sdpa"),
        new_model(tokenizer, "eager"),
        tokenizer,
        texts,
        [(layer, token) for layer in LAYERS for token in tokens],
        InterpretationPrompt(tokenizer, parts),
    )


def new_model(tokenizer: PreTrainedTokenizerBase, attention: str) -> PreTrainedModel:
    model = random_llama(tokenizer, spread=0.1)  # wide enough that greedy choices are no ties
    model.set_attn_implementation(attention)
    model.eval()
    return model


def agreement(bench: Bench) -> dict[str, float]:
    """Share of interpretations with the same words, and how far their relevancy differs."""
    ends = ends_of(bench.model, bench.tokenizer)
    same, gaps = [], [0.0]
    published = [
        (row, scores)
        for said in bench.published(keep=True)
        for row, scores in zip(said.tokens.tolist(), said.relevancy.tolist(), strict=True)
    ]
    for (text, relevancy), (row, scores) in zip(bench.ours(), published, strict=True):
        length = next((index for index, token in enumerate(row) if token in ends), len(row))
        same.append(str(bench.tokenizer.decode(row[:length])).strip() == text)
        if same[-1]:
            gaps += [abs(a - b) for a, b in zip(relevancy, scores[:length], strict=True)]
    return {"same_text": float(np.mean(same)), "relevancy_max_abs_diff": max(gaps)}


if __name__ == "__main__":
    main()
