"""Extraction, ours against the naive way: time, memory, and how memory grows.

The naive way pads every text to 1024 tokens, keeps all hidden states of all tokens, and saves them
with torch.save. Ours reads texts of like length together, keeps three layers at the last token,
and writes them as they come. Every run has a process of its own, on one thread. Prints one JSON
line, last.

    .venv/bin/python -m benchmarks.extraction
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from benchmarks.common import REAL, peak_bytes, publish, texts_of, user_seconds
from benchmarks.step import new_bench
from pipeline.core.representations import RepresentationsFile, load_representations
from pipeline.core.sections import Extraction
from pipeline.inference.extraction import extract
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoded, Encoder

PADDED, NAIVE_BATCH = 1024, 8
LAYERS = (2, 4, 6)
PARAMS = Extraction(layers=LAYERS, positions=("last",), tokens_per_batch=1024)


def main() -> None:
    options = _options()
    if options.way:
        print(json.dumps(measured(options.way, options.count, options.texts)))
        return
    few, many = options.growth
    tried: dict[str, list[dict[str, Any]]] = {"naive": [], "ours": []}
    for _ in range(options.rounds):
        for way, runs_of in tried.items():
            runs_of.append(started(way, options.count, options.texts))
    runs = {way: min(runs_of, key=itemgetter("seconds")) for way, runs_of in tried.items()}
    runs["few"] = started("ours", few, options.texts)
    runs["many"] = started("ours", many, options.texts)
    gap = np.abs(np.subtract(runs["naive"]["seen"], runs["ours"]["seen"]))
    report = {
        "time_ratio": runs["naive"]["seconds"] / runs["ours"]["seconds"],
        "memory_ratio": runs["naive"]["bytes"] / runs["ours"]["bytes"],
        "memory_growth": runs["many"]["bytes"] / runs["few"]["bytes"],
        "max_abs_diff": float(gap.max()),
        "texts": options.count,
        "texts_few": few,
        "texts_many": many,
        "tokens_per_text": runs["ours"]["tokens_per_text"],
    }
    for name, found in runs.items():
        print(f"{name:6} {found['seconds']:8.2f} s user  {found['bytes'] / 2**20:8.1f} MiB")
    publish(report, options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--texts", type=Path, default=REAL if REAL.is_dir() else None)
    parser.add_argument("--count", type=int, default=128)
    parser.add_argument(
        "--rounds", type=int, default=3, help="runs of each way; the fastest counts"
    )
    parser.add_argument("--growth", type=int, nargs=2, default=[2000, 20000])
    parser.add_argument("--out", type=Path, help="a file for the same JSON")
    parser.add_argument("--way", choices=["naive", "ours"], help="make one run and say its cost")
    return parser.parse_args()


def started(way: str, count: int, texts: Path | None) -> dict[str, Any]:
    """One run in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.extraction", "--way", way, "--count", str(count)]
    command += ["--texts", str(texts)] if texts else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(way: str, count: int, folder: Path | None) -> dict[str, Any]:
    torch.set_num_threads(1)
    table = texts_of(folder)
    bench = new_bench(table)
    model: Any = bench.plain.merge_and_unload().eval()
    table = (table * -(-count // len(table)))[:count]
    texts = bench.encoder.texts(table)
    names = tuple(f"text-{number}" for number in range(len(texts)))
    ways: dict[str, Callable[..., None]] = {"naive": naive, "ours": ours}
    with tempfile.TemporaryDirectory() as folder_name:
        path = Path(folder_name) / "representations"
        ways[way](
            model, bench.encoder, texts[:NAIVE_BATCH], names[:NAIVE_BATCH], path
        )  # kernels are loaded once
        seconds = 0.0

        def timed() -> None:
            nonlocal seconds
            seconds = user_seconds(lambda: ways[way](model, bench.encoder, texts, names, path))

        used = peak_bytes(timed)
        if way == "naive":
            kept = torch.load(path, weights_only=True)[:20]
            ends = torch.tensor([text.last for text in texts[:20]])
            seen = kept[torch.arange(len(kept)), :, ends][:, list(LAYERS)].numpy()
        else:
            seen = load_representations(path).values[:, 0, :20].swapaxes(0, 1)
    return {
        "seconds": seconds,
        "bytes": used,
        "tokens_per_text": float(np.mean([len(text.ids) for text in texts])),
        "seen": np.round(seen.astype(float), 6).tolist(),
    }


@torch.no_grad()
def naive(
    model: PreTrainedModel, encoder: Encoder, texts: Sequence[Encoded], _: Sequence[str], path: Path
) -> None:
    """All hidden states of all tokens, padding included: [N, layers, 1024, D]."""
    kept = []
    for start in range(0, len(texts), NAIVE_BATCH):
        batch = encoder.batch(texts[start : start + NAIVE_BATCH])
        missing = PADDED - batch.ids.shape[1]
        ids, mask = (
            torch.nn.functional.pad(tensor, (0, missing)) for tensor in (batch.ids, batch.mask)
        )
        output = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        kept.append(torch.stack(output.hidden_states, dim=1))
    torch.save(torch.cat(kept), path)


def ours(
    model: PreTrainedModel,
    encoder: Encoder,
    texts: Sequence[Encoded],
    names: tuple[str, ...],
    path: Path,
) -> None:
    space = RepresentationsFile(
        path, PARAMS.layers, PARAMS.positions, names, names, names, model.config.hidden_size
    )
    never = Checkpoint(path.with_name("state"), "", every=0)
    extract(model, encoder, texts, PARAMS, space, never)


if __name__ == "__main__":
    main()
