"""The training step, ours against the published one: time, memory, and the same numbers.

A small random Llama (8 blocks, target block 6, LoRA of rank 16) and the published objective, eight
pairs and eight retained texts a step. Both run in turn, in one process, on one thread. Prints what
was measured as one JSON line, last.

    .venv/bin/python -m benchmarks.step --texts a/folder/of/csv

Longer than other files, as the published step stands whole beside ours.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from benchmarks.common import (
    BLOCKS,
    CONTEXT,
    REAL,
    VOCABULARY,
    WIDTH,
    peak_bytes,
    publish,
    random_llama,
    texts_of,
    user_seconds,
)
from benchmarks.published_step import lay_out, published_terms
from pipeline.core.console import progress
from pipeline.core.params import load_params
from pipeline.core.sections import Finetune, Text, Variant
from pipeline.models.building import train_tokenizer
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.lora import with_lora
from pipeline.models.peft_import import PeftModel
from pipeline.training.objective import Objective
from pipeline.training.step import StepTexts
from pipeline.training.terms import weights_of

HALF, PAIRS = CONTEXT // 2, 8
TARGET_LAYER = 7  # the output of block 6
CHAT_TOKENS = 500
VARIANT = Variant(
    steps=1,
    contrast="infonce",
    sampling="random",
    labels="given",
    contrast_weight=10.0,
    retain_weight=1 / 7 / 100,
    penalty_weight=1.0,
    response_weight=0.0,
)
Terms = dict[str, torch.Tensor]
Step = Callable[[], torch.Tensor]


@dataclass(frozen=True)
class Texts:
    """What one step reads."""

    retained: list[Encoded]
    first: list[Encoded]
    second: list[Encoded]

    def tokens(self) -> int:
        return sum(len(text.ids) for text in self.retained + self.first + self.second)


@dataclass(frozen=True)
class Bench:
    """Both ways of making a step, on two copies of one model with a moved adapter."""

    plain: PeftModel
    encoder: Encoder
    objective: Objective

    def ours(self, texts: Texts, checkpointing: bool = False) -> Terms:
        self.objective.checkpointing = checkpointing
        labels = torch.arange(len(texts.first))
        return self.objective(StepTexts(texts.first, texts.second, labels, texts.retained))

    def our_step(self, texts: Texts, checkpointing: bool = False) -> torch.Tensor:
        return gradient(self.objective.adapted, self.ours(texts, checkpointing))

    def published(self, texts: Texts, half: int, checkpointing: bool) -> Terms:
        inner: Any = self.plain.get_base_model()
        if checkpointing:
            inner.activation_checkpointing_enable({"use_reentrant": False})
        else:
            inner.activation_checkpointing_disable()
        retained, first, second = (
            lay_out(part, half, int(self.encoder.tokenizer.pad_token_id))
            for part in (texts.retained, texts.first, texts.second)
        )
        return published_terms(self.plain, TARGET_LAYER, retained, first, second)

    def published_step(self, texts: Texts, checkpointing: bool) -> torch.Tensor:
        return gradient(self.plain, self.published(texts, HALF, checkpointing))


def gradient(adapted: PeftModel, terms: dict[str, torch.Tensor]) -> torch.Tensor:
    """The gradient of the terms' weighted sum, as one vector."""
    trained = [weight for weight in adapted.parameters() if weight.requires_grad]
    weights = {name: weight for name, weight in weights_of(VARIANT).items() if weight}
    loss = torch.stack([weight * terms[name] for name, weight in weights.items()]).sum()
    found = torch.autograd.grad(loss, trained)
    return torch.cat([part.flatten() for part in found])


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    table = texts_of(options.texts)
    bench = new_bench(table)
    encoded = bench.encoder.texts(table)
    short, chat = draw(encoded, lengthened=False), draw(encoded, lengthened=True)
    report = agreement(bench, encoded)
    steps: dict[str, Step] = {
        "published_checkpointed": lambda: bench.published_step(short, True),
        "published": lambda: bench.published_step(short, False),
        "ours": lambda: bench.our_step(short),
        "ours_checkpointed": lambda: bench.our_step(short, True),
        "ours_chat": lambda: bench.our_step(chat),
    }
    bench.our_step(short)  # the first step loads kernels
    spent = {name: [np.inf] for name in steps}
    for _ in progress(range(options.rounds), "steps in turn"):
        for name, step in steps.items():
            spent[name].append(user_seconds(step))
    seconds = {name: min(times) for name, times in spent.items()}
    memory = {name: peak_bytes(step) for name, step in steps.items()}
    yardstick = "published_checkpointed"
    bound = published_work() / our_work(short)
    report |= {
        "time_ratio": seconds[yardstick] / seconds["ours"],
        "memory_ratio": memory[yardstick] / memory["ours"],
        "time_ratio_checkpointed": seconds[yardstick] / seconds["ours_checkpointed"],
        "memory_ratio_checkpointed": memory[yardstick] / memory["ours_checkpointed"],
        "time_ratio_chat": seconds[yardstick] / seconds["ours_chat"],
        "time_ratio_published_plain": seconds["published"] / seconds["ours"],
        "bound": bound,
        "bound_ratio": seconds[yardstick] / seconds["ours"] / bound,
        "tokens_per_text": float(np.mean([len(text.ids) for text in encoded])),
        "tokens_real": short.tokens(),
        "tokens_real_chat": chat.tokens(),
        "tokens_padded": 3 * PAIRS * 2 * HALF,
    }
    for name in steps:
        print(f"{name:24} {seconds[name]:8.2f} s user  {memory[name] / 2**20:8.0f} MiB")
    publish(report, options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--texts",
        type=Path,
        default=REAL if REAL.is_dir() else None,
        help="folder of CSVs with prompt and response; made-up texts where there is none",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a file for the same JSON")
    return parser.parse_args()


def new_bench(
    table: Sequence[tuple[str, str]], variant: Variant = VARIANT, pairs_per_pass: int = 0
) -> Bench:
    tokenizer = train_tokenizer([text for pair in table for text in pair], VOCABULARY)
    finetune = published_objective(TARGET_LAYER)
    plain, ours = (new_model(tokenizer, finetune) for _ in range(2))
    encoder = Encoder(tokenizer, Text(prompt_tokens=HALF - 8, response_tokens=HALF - 8))
    asking = load_params().asking
    objective = Objective(ours, encoder, finetune, variant, asking, pairs_per_pass=pairs_per_pass)
    return Bench(plain, encoder, objective)


def published_objective(target_layer: int) -> Finetune:
    return load_params().finetune.model_copy(
        update={
            "target_layers": (target_layer,),
            "positions": ("prompt_end", "last"),
            "temperature": 0.1,
            "lora_rank": 16,
            "lora_alpha": 16,
            "lora_dropout": 0.0,
            "retain": "l2",
            "penalty": "weighted_nll",
            "penalty_texts": ("pairs",),
        }
    )


def new_model(tokenizer: PreTrainedTokenizerBase, finetune: Finetune) -> PeftModel:
    adapted = with_lora(random_llama(tokenizer), finetune)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.copy_(0.02 * torch.randn_like(weight))
    return adapted


def draw(encoded: Sequence[Encoded], lengthened: bool) -> Texts:
    """The texts of one step, of the corpus' mean length as nearly as twenty draws allow; retained
    ones as they are, or joined to the length of a chat."""
    rng = np.random.default_rng(1)

    def some() -> list[Encoded]:
        draws = [rng.choice(len(encoded), PAIRS, replace=False) for _ in range(20)]
        mean = np.mean([len(text.ids) for text in encoded])
        off = [abs(np.mean([len(encoded[i].ids) for i in drawn]) - mean) for drawn in draws]
        return [encoded[i] for i in draws[int(np.argmin(off))]]

    def chat() -> Encoded:
        wanted, ids = int(rng.normal(CHAT_TOKENS, CHAT_TOKENS / 4)), list[int]()
        while len(ids) < wanted:
            ids += encoded[int(rng.integers(len(encoded)))].ids
        ids = ids[: min(wanted, 2 * HALF)]
        return Encoded(tuple(ids), len(ids) // 2 - 1, len(ids) - 1)

    retained = [chat() for _ in range(PAIRS)] if lengthened else some()
    return Texts(retained, some(), some())


def agreement(bench: Bench, encoded: Sequence[Encoded], half: int = 32) -> dict[str, float]:
    """How far ours is from the published step where both are defined alike: on texts that fill
    their layout, so that there is no padding to count. The worst over terms, of each term's value
    and of its own gradient's length."""
    tokens = [token for text in encoded for token in text.ids]
    whole = [
        Encoded(tuple(tokens[start : start + 2 * half]), half - 1, 2 * half - 1)
        for start in range(0, 3 * PAIRS * 2 * half, 2 * half)
    ]
    texts = Texts(whole[:PAIRS], whole[PAIRS : 2 * PAIRS], whole[2 * PAIRS :])
    expected = bench.published(texts, half, checkpointing=False)
    losses, gradients = [], []
    for checkpointing in (False, True):
        found = bench.ours(texts, checkpointing)
        for name, term in expected.items():
            losses.append(abs(float(found[name].detach()) / float(term.detach()) - 1))
            one = gradient_of(bench.objective.adapted, found[name])
            other = gradient_of(bench.plain, term)
            gradients.append(float((one - other).norm() / other.norm()))
    return {"loss_max_rel_diff": max(losses), "grad_max_rel_diff": max(gradients)}


def gradient_of(adapted: PeftModel, term: torch.Tensor) -> torch.Tensor:
    trained = [weight for weight in adapted.parameters() if weight.requires_grad]
    found = torch.autograd.grad(term, trained, retain_graph=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in found])


def forward_work(lengths: Sequence[int], causal: bool) -> float:
    """Multiplications of one block on texts of these lengths."""
    linear = 4 * WIDTH * WIDTH + 3 * WIDTH * (11 * WIDTH // 4)
    return linear * sum(lengths) + attention_work(lengths, causal)


def backward_work(lengths: Sequence[int], causal: bool) -> float:
    """A frozen linear map goes back at the cost of going forward, attention at twice it."""
    return forward_work(lengths, causal) + attention_work(lengths, causal)


def attention_work(lengths: Sequence[int], causal: bool) -> float:
    return sum(2 * WIDTH * length**2 / (2 if causal else 1) for length in lengths)


def published_work() -> float:
    """Of a published step with checkpointing: six passes to the end, of which four are tuned, and
    go forward once more and back: two of them from the top, two from the target layer."""
    texts = [2 * HALF] * PAIRS
    again = forward_work(texts, causal=False) + backward_work(texts, causal=False)
    head = WIDTH * VOCABULARY * sum(texts)
    through = 6 * BLOCKS * forward_work(texts, causal=False)
    return through + 2 * (BLOCKS + TARGET_LAYER) * again + 7 * head


def our_work(texts: Texts) -> float:
    """Of the least that gives the same numbers: no padding, no block above what is needed."""
    retained, first, second = (
        [len(text.ids) for text in part] for part in (texts.retained, texts.first, texts.second)
    )
    above, below = retained + first, second
    there = 2 * BLOCKS * forward_work(above, True) + TARGET_LAYER * forward_work(below, True)
    back = BLOCKS * backward_work(above, True) + TARGET_LAYER * backward_work(below, True)
    return there + back + 3 * WIDTH * VOCABULARY * sum(first)


if __name__ == "__main__":
    main()
