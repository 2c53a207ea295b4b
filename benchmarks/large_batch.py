"""The memory of a large batch: 256 pairs, read 8 at a time, against a batch of 8.

The model, texts' length and objective of benchmarks.step, but for the contrast alone, which is what
ties pairs of a batch together. The batch of 8 has the texts of the large one's heaviest pass, so
that only the number of pairs differs. Each size runs in a process of its own, without glibc's
hoarding of freed memory. Prints one JSON line, last.

    .venv/bin/python -m benchmarks.large_batch
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.common import made_up_texts, peak_bytes, publish
from benchmarks.step import VARIANT, gradient, new_bench
from pipeline.models.encoding import Encoded
from pipeline.training.step import StepTexts

FEW, MANY = 8, 256
EAGER = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, help="measure one step of so many, in bytes")
    parser.add_argument("--out", type=Path, help="a file for the same JSON")
    options = parser.parse_args()
    if options.pairs:
        print(step_bytes(options.pairs))
        return
    few, many = (_alone(pairs) for pairs in (FEW, MANY))
    publish({"pairs_8_mib": few / 2**20, "pairs_256_mib": many / 2**20, "growth": many / few},
            options.out)  # fmt: skip


def step_bytes(pairs: int) -> int:
    """How far memory rises in one step whose views are read FEW pairs at a time."""
    torch.set_num_threads(1)
    table = made_up_texts()
    contrast = VARIANT.model_copy(update={"retain_weight": 0.0, "penalty_weight": 0.0})
    bench = new_bench(table, contrast, pairs_per_pass=FEW)
    texts = bench.encoder.texts(table)
    many = texts[:MANY] + texts[500 : 500 + MANY]
    objective = bench.objective

    def step(views: Sequence[Encoded]) -> None:
        half = len(views) // 2
        texts = StepTexts(views[:half], views[half:], torch.arange(half))
        gradient(objective.adapted, objective(texts))

    heaviest = max(objective.passes(many), key=lambda part: sum(len(text.ids) for text in part))
    step(heaviest[:4])  # the first step loads kernels
    return peak_bytes(lambda: step(heaviest if pairs == FEW else many[: 2 * pairs]))


def _alone(pairs: int) -> int:
    command = [sys.executable, "-m", "benchmarks.large_batch", "--pairs", str(pairs)]
    done = subprocess.run(
        command, env=os.environ | EAGER, check=True, stdout=subprocess.PIPE, text=True
    )
    return int(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
