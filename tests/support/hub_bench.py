"""What every test of the Hub stands on: a Hub on loopback and a client that is pointed at it."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import save

from pipeline.hub import client
from pipeline.hub.fetch import Fetched
from tests.support.minihub import MiniHub

DATASET, LARGE, SMALL = "acme/concepts", "data/train.parquet", "rows.jsonl"
ROWS = {LARGE: bytes(range(256)) * 200, SMALL: b'{"prompt": "hi"}\n' * 50, "other.parquet": b"no"}
CLIENT_TRIES = 6  # of a HEAD, a listing, or a body that is cut short
MODEL = "acme/tiny"
HEAD, BODY = "HEAD /datasets/", "GET /cdn/"
GONE = {"X-Error-Message": "Access to this resource is disabled."}
BAD = {"X-Error-Message": "Invalid credentials in Authorization header"}
SOON = {"Retry-After": "7"}


def tensors(seed: int) -> bytes:
    return save({f"weight{seed}": np.full((4, 4), seed, dtype=np.float32)})


PLAIN = {
    "config.json": b'{"model_type": "llama"}',
    "generation_config.json": b"{}",
    "tokenizer.json": b'{"model": {}}',
    "tokenizer_config.json": b"{}",
    "model.safetensors": tensors(0),
}


@dataclass
class Bench:
    """A Hub, and this process pointed at it with a fresh cache and no token."""

    hub: MiniHub
    patch: pytest.MonkeyPatch
    waited: list[float] = field(default_factory=list)  # by us between tries
    slept: list[float] = field(default_factory=list)  # by the client
    heard: list[str] = field(default_factory=list)  # of the client's log

    @property
    def cache(self) -> Path:
        return Path(constants.HF_HUB_CACHE)

    def point_to(self, address: str) -> None:
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        self.patch.setattr(constants, "ENDPOINT", address)
        self.patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    def go_offline(self) -> None:
        self.patch.setenv("LEGIBLE_OFFLINE", "1")

    def log_in(self, token: str) -> None:
        self.patch.setenv("HF_TOKEN", token)

    def publish(self, gated: bool = False) -> str:
        return self.hub.add("dataset", DATASET, ROWS, gated)

    def files(self, pattern: str) -> list[Path]:
        return [path for path in self.cache.rglob(pattern) if not path.is_dir()]


def assert_sound(files: dict[str, Fetched], published: dict[str, bytes]) -> None:
    for name, file in files.items():
        body = published[name]
        assert file.path.read_bytes() == body
        assert (file.sha256, file.size) == (hashlib.sha256(body).hexdigest(), len(body))


def failing(pattern: str, **fault: Any) -> Callable[[Bench], object]:
    return lambda bench: bench.hub.fail(pattern, **fault)


def slow(pattern: str, **fault: float) -> Callable[[Bench], object]:
    def arrange(bench: Bench) -> None:
        bench.patch.setattr(client, "WINDOW", 0.4)
        bench.hub.fail(pattern, **fault)

    return arrange


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
