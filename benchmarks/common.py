"""What benchmarks share: real texts where they lie beside the project, and how cost is measured."""

import ctypes
import gc
import json
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from pipeline.core.files import write_json

REAL = Path("../shared/data/safety_multi")
BLOCKS, WIDTH, CONTEXT, VOCABULARY = 8, 256, 1024, 8192  # of the small Llama that both ways run


def texts_of(folder: Path | None) -> list[tuple[str, str]]:
    """Prompts and responses from a folder of CSVs, or made-up ones."""
    return read_texts(folder) if folder else made_up_texts()


def read_texts(folder: Path) -> list[tuple[str, str]]:
    tables = [pd.read_csv(path, keep_default_na=False) for path in sorted(folder.glob("*.csv"))]
    return [pair for table in tables for pair in zip(table.prompt, table.response, strict=True)]


def made_up_texts(count: int = 1000) -> list[tuple[str, str]]:
    """Random words in questions and answers, which have 90 tokens on average, as BeaverTails'."""
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, size=rng.integers(2, 9))) for _ in range(3000)]

    def passage(mean: float) -> str:
        length = max(1, int(rng.lognormal(np.log(mean) - 0.25, 0.7)))
        return " ".join(rng.choice(words, size=length))

    return [(passage(18), passage(72)) for _ in range(count)]


def random_llama(tokenizer: PreTrainedTokenizerBase, spread: float = 0.02) -> LlamaForCausalLM:
    """A small Llama of random weights, always the same ones. spread: their deviation."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=11 * WIDTH // 4,
            num_hidden_layers=BLOCKS,
            num_attention_heads=8,
            num_key_value_heads=8,
            max_position_embeddings=CONTEXT,
            initializer_range=spread,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def publish(report: Mapping[str, float], out: Path | None) -> None:
    """Print a report's numbers as one line of JSON, four digits each, and write them to a file."""
    rounded = {name: float(f"{value:.4g}") for name, value in report.items()}
    if out:
        write_json(out, rounded)
    print(json.dumps(rounded))


def user_seconds(work: Callable[[], object]) -> float:
    start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime - start


def peak_bytes(work: Callable[[], object]) -> int:
    """How far the process's resident memory rises meanwhile (Linux)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    time.sleep(0.01)
    before = _memory("VmRSS")
    work()
    return _memory("VmHWM") - before


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return 1024 * int(line.split()[1])
