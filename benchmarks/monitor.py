"""What watching costs: a model that generates with a monitor attached and without, in turn.

A random Llama (4 blocks, width 256) and a random monitor, in one process, on one thread (in
processor time), or on a GPU (in wall time). Every round generates the same tokens both ways, in an
order that alternates; what a round's two ways differ by, per token, is one measurement. The model
is small because what is added hardly depends on its size, and the noise does. Prints what was
measured as one JSON line, last.

    .venv/bin/python -m benchmarks.monitor
"""

import argparse
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pipeline.core.files import write_json
from pipeline.inference.fingerprint import check_model, signature_of
from pipeline.inference.live_monitor import watching
from pipeline.monitors.saved import SavedMonitor

BLOCKS, WIDTH, VOCABULARY, PROMPT_TOKENS, CLASSES = 4, 256, 2048, 32, 6


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    model = new_model(options.device)
    monitor = new_monitor(model, options.position)
    check_model(model, monitor)
    ways: dict[str, Callable[[], AbstractContextManager[Any]]] = {
        "without": nullcontext,
        "with": lambda: watching(model, monitor, check=False),
    }
    tried: dict[str, list[float]] = {way: [] for way in ways}
    for way in ways:
        generate(model, ways[way], options.tokens)  # kernels are loaded once
    for number in range(options.rounds):
        for way in sorted(ways, reverse=bool(number % 2)):
            tried[way].append(generate(model, ways[way], options.tokens))
    without, watched = (np.array(tried[way]) for way in ("without", "with"))
    added = watched - without
    low, high = np.percentile(_medians(added), [2.5, 97.5])
    report = {
        "milliseconds_per_token_without": float(np.median(without)),
        "milliseconds_per_token_added": float(np.median(added)),
        "milliseconds_per_token_added_low": float(low),
        "milliseconds_per_token_added_high": float(high),
        "share_added": float(np.median(added) / np.median(without)),
    }
    rounded = {name: float(f"{value:.4g}") for name, value in report.items()}
    asked = {name: getattr(options, name) for name in ("device", "position", "rounds", "tokens")}
    described = {**asked, **rounded}
    if options.out:
        write_json(options.out, described)
    print(json.dumps(described))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--position", choices=["last", "mean"], default="mean")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="a file for the same JSON")
    return parser.parse_args()


def new_model(device: str) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        num_hidden_layers=BLOCKS,
        num_attention_heads=4,
    )
    return LlamaForCausalLM(config).eval().to(device)


def new_monitor(model: Any, position: str) -> SavedMonitor:
    rng = np.random.default_rng(0)
    layer = BLOCKS // 2
    classes = tuple(f"concept-{number}" for number in range(CLASSES))
    return SavedMonitor(
        kind="logistic",
        variant="base",
        classes=classes,
        harmless=classes[:1],
        layer=layer,
        position=position,
        threshold=0.5,
        base={"dtype": "float32"},
        centre=rng.normal(size=WIDTH).astype(np.float32),
        weights=rng.normal(size=(CLASSES, WIDTH)).astype(np.float32),
        bias=rng.normal(size=CLASSES).astype(np.float32),
        signature=signature_of(model, layer).numpy(),
    )


def generate(model: Any, way: Callable[[], AbstractContextManager[Any]], tokens: int) -> float:
    """Milliseconds a token, the judgements of a watched answer made as well."""
    ids = torch.arange(PROMPT_TOKENS, device=model.device)[None]
    on_gpu = model.device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    start = clock()
    with way() as watch:
        model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            pad_token_id=0,
        )
    if watch is not None:
        assert len(watch.judgements()) == tokens
    if on_gpu:
        torch.cuda.synchronize()
    return 1000 * (clock() - start) / tokens


def _medians(values: np.ndarray) -> np.ndarray:
    drawn = np.random.default_rng(0).integers(len(values), size=(2000, len(values)))
    medians: np.ndarray = np.median(values[drawn], axis=1)
    return medians


if __name__ == "__main__":
    main()
