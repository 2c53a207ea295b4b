"""A step and an extraction at a real model's size on a processor: bfloat16 beside float32, and
beside the processor's own rate of matrix products.

Random weights in the shape of SmolLM2-135M, made-up texts as long as its preset cuts them, a step
as in benchmarks/real_models.py: twelve pairs, read up to layer 20, and two retained texts, with
their KL; all in one process, on one thread, in processor time. Prints one JSON line, last.

    .venv/bin/python -m benchmarks.real_cpu
"""

import argparse
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import made_up_texts, publish, user_seconds
from benchmarks.real_size import SHAPES, Bench, Shape, Step, new_encoder
from benchmarks.real_tuning import PAIRS, PRESETS, RETAINED, params_of
from benchmarks.step import VARIANT, gradient
from pipeline.core.params import load_params
from pipeline.core.sections import Extraction
from pipeline.inference.extraction import read_batch
from pipeline.models.building import prepare
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.fused_lora import fuse
from pipeline.models.packing import read_row
from pipeline.training.objective import Objective
from pipeline.training.step import StepTexts

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shape", choices=SHAPES, default="smollm2-135m")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a file for the same JSON")
    options = parser.parse_args()
    prepare(load_params().runtime.model_copy(update={"threads": 1}))
    publish(compare(options.shape, options.steps), options.out)


def compare(shape: str, steps: int, side: int = 2048) -> dict[str, float]:
    """Processor seconds of a step and of an extraction in both dtypes; the operations a second of
    large matrix products, and of the step and the extraction as shares of them."""
    report: dict[str, float] = {}
    for name, dtype in DTYPES.items():
        bench = Bench(SHAPES[shape], torch.device("cpu"), dtype, checkpointing=False)
        rate = product_rate(dtype, side)
        seconds = {"step": step_seconds(bench, steps), "extraction": extraction_seconds(bench)}
        rate = max(rate, product_rate(dtype, side))
        work = {"step": step_work(bench, steps), "extraction": extraction_work(bench)}
        report[f"{name}_gigaoperations_per_second"] = rate / 1e9
        for what, spent in seconds.items():
            report[f"{name}_seconds_per_{what}"] = spent
            report[f"{name}_share_of_rate_{what}"] = work[what] / spent / rate
    for what in ("step", "extraction"):
        narrow, wide = (report[f"{name}_seconds_per_{what}"] for name in DTYPES)
        report[f"times_less_{what}"] = wide / narrow
    return report


def product_rate(dtype: torch.dtype, side: int, repeats: int = 8) -> float:
    """Operations a processor second of products of two square matrices."""
    left, right = (torch.randn(side, side).to(dtype) for _ in range(2))

    def work() -> Tensor:
        return left @ right

    work()  # the first product loads kernels
    return 2 * side**3 / min(user_seconds(work) for _ in range(repeats))


def step_seconds(bench: Bench, steps: int) -> float:
    step, batches = step_of(bench), draw(steps + 1)
    step(batches[-1])
    return user_seconds(lambda: [step(batch) for batch in batches[:-1]]) / steps


def step_of(bench: Bench) -> Step:
    params = bench.finetune().model_copy(
        update={
            "positions": ("mean",),
            "retain": "relative",
            "penalty": "kl",
            "penalty_texts": ("retain",),
        }
    )
    variant = VARIANT.model_copy(update={"contrast": "true_negatives"})
    adapted, asking = bench.adapted(), load_params().asking
    objective = Objective(adapted, new_encoder(), params, variant, asking)

    def step(texts: Sequence[Encoded]) -> Tensor:
        first, second, retained = parts_of(texts)
        return gradient(
            adapted, objective(StepTexts(first, second, torch.arange(PAIRS) % 4, retained))
        )

    return step


def parts_of(texts: Sequence[Encoded]) -> tuple[Sequence[Encoded], ...]:
    """Both views of the pairs, and the retained texts."""
    return texts[:PAIRS], texts[PAIRS : 2 * PAIRS], texts[2 * PAIRS :]


def step_work(bench: Bench, steps: int) -> float:
    """Operations of a step, on average over those that are measured."""
    return sum(work_of(bench, texts) for texts in draw(steps + 1)[:-1]) / steps


def work_of(bench: Bench, texts: Sequence[Encoded], attended: int = 1) -> float:
    """Operations of a step on these texts, their attention counted so often. Adapters go back at
    twice the cost of going forward."""
    shape, rank = bench.shape, bench.finetune().lora_rank
    first, second, retained = ([len(text.ids) for text in part] for part in parts_of(texts))
    head = 3 * 2 * shape.width * shape.vocabulary * sum(retained)
    tokens = sum([*first, *second, *retained])
    adapters = 3 * shape.target * adapter_work(shape, tokens, rank)
    return shape.step_work([], [*first, *second], retained, attended) + head + adapters


def adapter_work(shape: Shape, tokens: int, rank: int) -> float:
    """Operations of one block's adapters going forward."""
    keys = shape.width * shape.key_heads // shape.heads
    ends = 2 * (2 * shape.width + shape.width + keys) + 3 * (shape.width + shape.feed_forward)
    return 2 * tokens * rank * ends


def extraction_seconds(bench: Bench) -> float:
    """Of one batch, read to the end at every position."""
    adapted = bench.adapted()
    fuse(adapted)  # as a variant is loaded
    model: Any = adapted.get_base_model().eval()
    params = Extraction(
        layers=(bench.shape.layers,), positions=("last", "mean"), tokens_per_batch=4096
    )
    texts = one_batch()
    read_batch(model, read_row, texts, params)
    return user_seconds(lambda: read_batch(model, read_row, texts, params))


def extraction_work(bench: Bench) -> float:
    shape, lengths = bench.shape, [len(text.ids) for text in one_batch()]
    adapters = shape.target * adapter_work(shape, sum(lengths), bench.finetune().lora_rank)
    return shape.layers * shape.block_work(lengths) + adapters


def one_batch() -> list[Encoded]:
    return draw(1)[0]


@cache
def draw(steps: int) -> list[list[Encoded]]:
    """The texts of every step: both views of the pairs, and the retained texts."""
    rng = np.random.default_rng(0)
    limits = params_of(PRESETS["smollm2"].preset).text
    texts = Encoder(new_encoder().tokenizer, limits).texts(made_up_texts())
    return [
        [texts[i] for i in rng.choice(len(texts), 2 * PAIRS + RETAINED, replace=False)]
        for _ in range(steps)
    ]


if __name__ == "__main__":
    main()
