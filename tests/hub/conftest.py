"""A Hub on loopback for every test that asks for one."""

import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import close_session, constants
from huggingface_hub.utils._http import REPO_API_REGEX

from pipeline.hub import client
from tests.support.hub_bench import Bench
from tests.support.minihub import MiniHub


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with MiniHub() as server:
        bench = Bench(server, monkeypatch)
        bench.point_to(server.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # as every process of ours is
        monkeypatch.setenv("LEGIBLE_OFFLINE", "0")
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        # What the client takes for the Hub's address: with https alone, loopback would be none.
        hubs = re.compile(REPO_API_REGEX.pattern.replace("https", "https?"), re.VERBOSE)
        monkeypatch.setattr("huggingface_hub.utils._http.REPO_API_REGEX", hubs)
        clock = SimpleNamespace(**vars(time) | {"sleep": bench.slept.append})
        monkeypatch.setattr("huggingface_hub.utils._http.time", clock)
        monkeypatch.setattr("huggingface_hub.file_download.time", clock)
        monkeypatch.setattr(client, "time", SimpleNamespace(sleep=bench.waited.append))
        listener = logging.Handler()
        listener.emit = lambda record: bench.heard.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("huggingface_hub").addHandler(listener)
        yield bench
        logging.getLogger("huggingface_hub").removeHandler(listener)
    close_session()
