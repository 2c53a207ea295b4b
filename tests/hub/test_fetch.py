"""Whatever the network, the Hub or a publisher does: verified files, or one line and no trace."""

import errno
import hashlib
import json
import logging
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from huggingface_hub import close_session, constants, hf_hub_download
from huggingface_hub.utils._http import REPO_API_REGEX
from safetensors.numpy import save
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from pipeline.core.console import InputError
from pipeline.hub import client, models
from pipeline.hub.client import TRIES
from pipeline.hub.fetch import Fetched, fetch
from pipeline.hub.listing import file_names
from pipeline.hub.models import fetch_model
from tests.support.dag import ROOT
from tests.support.minihub import MiniHub

DATASET, LARGE, SMALL = "acme/concepts", "data/train.parquet", "rows.jsonl"
ROWS = {LARGE: bytes(range(256)) * 200, SMALL: b'{"prompt": "hi"}\n' * 50, "other.parquet": b"no"}
CLIENT_TRIES = 6  # of a HEAD, a listing, or a body that is cut short
MODEL = "acme/tiny"
OPTIONAL = ("generation_config.json", "tokenizer.json", "tokenizer_config.json")


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
        self.patch.setattr(constants, "HF_HUB_OFFLINE", True)

    def log_in(self, token: str) -> None:
        self.patch.setenv("HF_TOKEN", token)

    def publish(self, gated: bool = False) -> str:
        return self.hub.add("dataset", DATASET, ROWS, gated)

    def files(self, pattern: str) -> list[Path]:
        return [path for path in self.cache.rglob(pattern) if not path.is_dir()]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with MiniHub() as server:
        bench = Bench(server, monkeypatch)
        bench.point_to(server.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
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


def assert_sound(files: dict[str, Fetched], published: dict[str, bytes]) -> None:
    for name, file in files.items():
        body = published[name]
        assert file.path.read_bytes() == body
        assert (file.sha256, file.size) == (hashlib.sha256(body).hexdigest(), len(body))


# What works


def test_exactly_the_named_files_are_fetched_and_then_cached(bench: Bench) -> None:
    commit = bench.publish()
    files = fetch(DATASET, [LARGE, SMALL], commit, "dataset")
    assert [*files] == [LARGE, SMALL]
    assert_sound(files, ROWS)
    assert bench.hub.requests("^GET") == 2
    assert bench.hub.requests("other.parquet|api/") == 0
    before = len(bench.hub.seen)
    assert fetch(DATASET, [LARGE, SMALL], commit, "dataset") == files
    bench.go_offline()
    assert fetch(DATASET, [LARGE, SMALL], commit, "dataset") == files
    assert len(bench.hub.seen) == before
    assert bench.files("*.incomplete") == []


def test_a_pinned_digest_is_held_against_the_file(bench: Bench) -> None:
    commit = bench.publish()
    right = hashlib.sha256(ROWS[LARGE]).hexdigest()
    wrong = "0" * 64
    with pytest.raises(InputError, match=f"sha256 {right}, not the pinned {wrong}"):
        fetch(DATASET, [LARGE], commit, "dataset", {LARGE: wrong})
    assert bench.hub.requests("GET /cdn") == 1, "no try changes what the Hub holds"
    assert bench.files("snapshots/**/train.parquet") == []
    assert_sound(fetch(DATASET, [LARGE], commit, "dataset", {LARGE: right}), ROWS)


def test_a_gated_file_needs_the_token_which_goes_nowhere_else(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    commit = bench.publish(gated=True)
    bench.log_in(bench.hub.token)
    assert_sound(fetch(DATASET, [LARGE, SMALL], commit, "dataset"), ROWS)
    assert {seen.token for seen in bench.hub.seen if "/cdn/" in seen.line} == {None}
    assert {seen.token for seen in bench.hub.seen if "/cdn/" not in seen.line} == {bench.hub.token}
    assert capfd.readouterr() == ("", "")


def test_a_folder_of_the_same_name_is_not_the_repository(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (LARGE, SMALL):
        (tmp_path / DATASET / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / DATASET / name).write_bytes(b"evil")
    monkeypatch.chdir(tmp_path)
    assert_sound(fetch(DATASET, [LARGE, SMALL], bench.publish(), "dataset"), ROWS)


# What is refused before the first request


@pytest.mark.parametrize(
    "revision", ["main", "", "v1.0", "911dbeff", "A" * 40, "a" * 41, "a" * 40 + "\n", "refs/pr/1"]
)
def test_only_full_commits(bench: Bench, revision: str) -> None:
    bench.publish()
    for refused in (
        lambda: fetch(DATASET, [SMALL], revision, "dataset"),
        lambda: fetch_model(MODEL, revision),
        lambda: file_names(DATASET, revision, "dataset"),
    ):
        with pytest.raises(InputError, match="no full commit; pin 40 hex digits"):
            refused()
    assert bench.hub.seen == []


BAD_NAMES = {
    "upwards": ("../../CANARY.json", "no path inside"),
    "upwards from a folder": ("data/../../../CANARY.json", "no path inside"),
    "absolute": ("/tmp/CANARY.json", "no path inside"),  # noqa: S108
    "of Windows": ("..\\CANARY.json", "no path inside"),
    "a drive": ("C:CANARY.json", "no path inside"),
    "empty": ("", "no path inside"),
    "a folder": ("data/", "no path inside"),
    "two lines": ("a\nb.json", "no path inside"),
    "no text": ("a\0.json", "no path inside"),
    "code": ("modeling_tiny.py", "never fetched"),
    "a pickle": ("pytorch_model.bin", "never fetched"),
    "a pickle in capitals": ("MODEL.PKL", "never fetched"),
    "a checkpoint": ("original/consolidated.00.pth", "never fetched"),
    "an adapter": ("adapter_model.safetensors", "never fetched"),
    "an adapter's config": ("adapter_config.json", "never fetched"),
}


@pytest.mark.parametrize(("name", "message"), BAD_NAMES.values(), ids=BAD_NAMES)
def test_names_that_are_never_fetched(bench: Bench, name: str, message: str) -> None:
    commit = bench.hub.add("model", MODEL, {name: b"evil", "config.json": b"{}"})
    with pytest.raises(InputError, match=message) as refused:
        fetch(MODEL, ["config.json", name], commit, "model")
    assert str(refused.value).startswith(f"cannot fetch model {MODEL}@{commit[:12]}: ")
    assert str(refused.value).endswith(", or set model.source: embedded")
    assert bench.hub.seen == []


def test_a_pin_of_another_file_is_a_mistake(bench: Bench) -> None:
    with pytest.raises(InputError, match=r"pins 'train\.parquet', which is not among the files"):
        fetch(DATASET, [LARGE], bench.publish(), "dataset", {"train.parquet": "0" * 64})
    assert bench.hub.seen == []


# What goes wrong for ever: one line, no trace, and the next run is well


@dataclass(frozen=True)
class Failure:
    """How it comes about, what the line says, and how often each kind of request was made."""

    arrange: Callable[[Bench], object]
    says: tuple[str, ...]
    requests: dict[str, int] = field(default_factory=dict)
    waits: int = 0  # of the client


def failing(pattern: str, **fault: Any) -> Callable[[Bench], object]:
    return lambda bench: bench.hub.fail(pattern, **fault)


def no_name_service(bench: Bench) -> None:
    def unknown(*_: object, **__: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    bench.patch.setattr(socket, "getaddrinfo", unknown)


def refuse_connections(bench: Bench) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        bench.point_to(f"http://user:hf_password@127.0.0.1:{unused.getsockname()[1]}")


def full_disk(bench: Bench) -> None:
    def write_half(_: str, file: Any, **__: object) -> NoReturn:
        file.write(ROWS[LARGE][:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    bench.patch.setattr("huggingface_hub.file_download.http_get", write_half)


def unknown_fault(bench: Bench) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("Authorization: Bearer hf_secret")

    bench.patch.setattr("huggingface_hub.file_download.http_get", fail)


def file_for_a_cache(bench: Bench) -> None:
    bench.cache.parent.joinpath("file").write_bytes(b"")
    bench.patch.setattr(constants, "HF_HUB_CACHE", str(bench.cache.parent / "file"))


def close_gate(bench: Bench) -> None:
    bench.publish(gated=True)


def close_gate_to_an_account(bench: Bench) -> None:
    bench.log_in("hf_another")
    bench.publish(gated=True)


def lose_repository(bench: Bench) -> None:
    bench.hub.repositories.clear()


def lose_repository_for_an_account(bench: Bench) -> None:
    bench.log_in("hf_another")
    bench.hub.repositories.clear()


def lose_revision(bench: Bench) -> None:
    bench.hub.repositories["datasets", DATASET].commit = "0" * 40


def lose_file(bench: Bench) -> None:
    del bench.hub.repositories["datasets", DATASET].files[LARGE]


def slow(pattern: str, **fault: float) -> Callable[[Bench], object]:
    def arrange(bench: Bench) -> None:
        bench.patch.setattr(client, "WINDOW", 0.4)
        bench.hub.fail(pattern, **fault)

    return arrange


HEAD, BODY = "HEAD /datasets/", "GET /cdn/"
GONE = {"X-Error-Message": "Access to this resource is disabled."}
BAD = {"X-Error-Message": "Invalid credentials in Authorization header"}
SOON = {"Retry-After": "7"}
FAILURES = {
    "refused connection": Failure(
        refuse_connections, ("no lasting connection to 127.0.0.1:", "HF_ENDPOINT"), {".": 0}, 5
    ),
    "unknown host": Failure(no_name_service, ("no lasting connection",), {".": 0}, 5),
    "gated, anonymous": Failure(
        close_gate,
        (
            f"gated; accept its licence at https://huggingface.co/datasets/{DATASET}",
            "hf auth login",
        ),
        {HEAD: 1},
    ),
    "gated, another account": Failure(
        close_gate_to_an_account, ("the token's account has no access", "licence"), {HEAD: 1}
    ),
    "expired token": Failure(
        lambda bench: bench.log_in("hf_expiredToken"), ("invalid or expired", "hf auth login")
    ),
    "invalid token": Failure(failing(".", status=401, headers=BAD), ("invalid or expired",)),
    "no token at all": Failure(lambda bench: bench.log_in("hf_ü"), ("invalid or expired",)),
    "no repository": Failure(lose_repository, ("no such repository", "hf auth login"), {HEAD: 1}),
    "no repository for an account": Failure(
        lose_repository_for_an_account,
        ("no such repository", "or private"),
        {HEAD: 1},
    ),
    "no revision": Failure(lose_revision, ("no such revision", "/commits/main"), {HEAD: 1}),
    "no file": Failure(lose_file, (f"has no {LARGE}", "/tree/"), {HEAD: 1}),
    "taken down": Failure(failing(".", status=403, headers=GONE), ("taken the repository down",)),
    "forbidden": Failure(failing(".", status=403), ("HTTP 403",)),
    "rate limit": Failure(
        failing(".", status=429, headers=SOON), ("HTTP 429",), {HEAD: 1 + CLIENT_TRIES}, 5
    ),
    "rate limit on the body": Failure(
        failing(BODY, status=429), ("HTTP 429",), {BODY: CLIENT_TRIES}, 5
    ),
    "500": Failure(failing(HEAD, status=500), ("HTTP 500",), {HEAD: 1 + CLIENT_TRIES}, 5),
    "503 on the body": Failure(failing(BODY, status=503), ("HTTP 503",), {BODY: TRIES}),
    "truncated": Failure(
        failing(BODY, truncate=100), ("no lasting connection",), {BODY: CLIENT_TRIES}, 5
    ),
    "reset": Failure(
        failing(BODY, truncate=100, reset=True), ("no lasting connection",), {BODY: TRIES}
    ),
    "another size": Failure(
        failing(BODY, status=200, body=b"short"), ("no lasting connection",), {BODY: TRIES}
    ),
    "dropped": Failure(failing(HEAD, drop=True), ("no lasting connection",), {HEAD: TRIES}),
    "dropped before the body": Failure(
        failing(BODY, drop=True), ("no lasting connection",), {BODY: CLIENT_TRIES}, 5
    ),
    "dripping": Failure(slow(BODY, drip=0.02), ("sent next to nothing",), {BODY: 1}),
    "silent": Failure(slow(HEAD, delay=30), ("sent next to nothing",), {HEAD: 1}),
    "corrupt": Failure(
        failing(BODY, corrupt=True), (f"{LARGE} arrives corrupt", "expected"), {BODY: TRIES}
    ),
    "a login page": Failure(
        failing(".", status=200, body=b"<html>"), ("does not answer like a Hub", "proxy"), {".": 1}
    ),
    "full disk": Failure(full_disk, ("disk of", "is full", "HF_HOME"), {BODY: 0}),
    "something else": Failure(
        unknown_fault, ("the client failed with RuntimeError; try again",), {BODY: 0}
    ),
    "no place": Failure(file_for_a_cache, ("cannot be written", "HF_HOME")),
    "offline": Failure(Bench.go_offline, (f"{LARGE} is not in the cache", "OFFLINE"), {".": 0}),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_a_failure_is_one_line_and_the_next_run_is_well(
    bench: Bench, failure: Failure, capfd: pytest.CaptureFixture[str]
) -> None:
    commit = bench.publish()
    with pytest.MonkeyPatch.context() as bench.patch:
        failure.arrange(bench)
        with pytest.raises(InputError) as refused:
            fetch(DATASET, [LARGE], commit, "dataset")
    line = str(refused.value)
    assert line.startswith(f"cannot fetch dataset {DATASET}@{commit[:12]}: ")
    assert line.endswith(", or set corpora.source: embedded")
    assert all(part in line for part in failure.says), line
    assert "\n" not in line
    made = {pattern: bench.hub.requests(pattern) for pattern in failure.requests}
    assert made == failure.requests
    assert len(bench.slept) == failure.waits
    assert bench.waited == ([2, 4, 8] if TRIES in made.values() else [])
    said = "\n".join([line, *capfd.readouterr(), *bench.heard])
    assert "hf_" not in said
    assert f":{bench.hub.port}/" not in said, "addresses may be signed"
    assert bench.files("snapshots/**/train.parquet") == []
    bench.hub.heal()
    bench.publish()
    assert_sound(fetch(DATASET, [LARGE], commit, "dataset"), ROWS)
    assert bench.files("*.incomplete") == []


def test_a_name_that_is_no_repository(bench: Bench) -> None:
    with pytest.raises(InputError, match="no repository's name; write it as owner/name"):
        fetch("acme/not a name", [SMALL], "0" * 40, "dataset")
    assert bench.hub.seen == []


# What passes


RECOVERIES: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "rate limit": ({"pattern": HEAD, "times": 2, "status": 429, "headers": SOON}, {HEAD: 3}),
    "rate limit on the body": ({"pattern": BODY, "status": 429, "headers": SOON}, {BODY: 2}),
    "500": ({"pattern": HEAD, "times": 3, "status": 500}, {HEAD: 4}),
    "500 on the body": ({"pattern": BODY, "times": 3, "status": 500}, {BODY: 4}),
    "truncated": ({"pattern": BODY, "truncate": 1000}, {BODY: 2}),
    "reset": ({"pattern": BODY, "truncate": 1000, "reset": True}, {BODY: 2}),
    "dropped": ({"pattern": HEAD, "times": 2, "drop": True}, {HEAD: 3}),
    "another size": ({"pattern": BODY, "status": 200, "body": b"short"}, {BODY: 2}),
    "corrupt": ({"pattern": BODY, "times": 2, "corrupt": True}, {BODY: 3}),
}


@pytest.mark.parametrize(("fault", "requests"), RECOVERIES.values(), ids=RECOVERIES)
def test_what_passes_is_waited_for(
    bench: Bench, fault: dict[str, Any], requests: dict[str, int]
) -> None:
    commit = bench.publish()
    bench.hub.fail(**{"times": 1, **fault})
    assert_sound(fetch(DATASET, [LARGE], commit, "dataset"), ROWS)
    assert {pattern: bench.hub.requests(pattern) for pattern in requests} == requests
    if fault.get("headers") == SOON:
        assert 7 + 1 in bench.slept
    assert bench.files("*.incomplete") == []


def test_slow_is_not_too_slow(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 8192)
    monkeypatch.setattr(client, "WINDOW", 1.0)
    commit = bench.publish()
    bench.hub.fail(BODY, drip=0.003)
    start = time.monotonic()
    assert_sound(fetch(DATASET, [LARGE], commit, "dataset"), ROWS)
    assert time.monotonic() - start > 2 * client.WINDOW


# What is bad in the cache


@pytest.mark.parametrize("name", [LARGE, SMALL])
@pytest.mark.parametrize("shared", [False, True], ids=["own blob", "blob in the shared store"])
def test_a_copy_that_went_bad_is_replaced(bench: Bench, name: str, shared: bool) -> None:
    """A blob of Xet storage is a link into a store, under a name that is another kind of digest."""
    commit = bench.publish()
    link = fetch(DATASET, [name], commit, "dataset")[name].path
    blob = link.resolve()
    if shared:
        store = bench.cache / "blobs" / "ab" / ("ab" * 32)
        store.parent.mkdir(parents=True)
        blob.rename(store)
        blob.symlink_to(store)
        assert_sound(fetch(DATASET, [name], commit, "dataset"), ROWS)
    sound = link.resolve()
    sound.write_bytes(ROWS[name][:-1] + b"!")
    before = bench.hub.requests("GET")
    assert_sound(fetch(DATASET, [name], commit, "dataset"), ROWS)
    assert bench.hub.requests("GET") == before + 1
    assert not shared or not sound.exists(), "the store would link the bad copy again"


def test_a_copy_that_another_run_finds_bad_meanwhile_is_fetched_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def gone_at_first(*asked: Any, **how: Any) -> str:
        path = str(hf_hub_download(*asked, **how))
        tries.append(path)
        if len(tries) == 1:
            Path(path).resolve().unlink()
        return path

    monkeypatch.setattr("huggingface_hub.hf_hub_download", gone_at_first)
    assert_sound(fetch(DATASET, [LARGE], bench.publish(), "dataset"), ROWS)
    assert len(tries) == bench.hub.requests(BODY) == 2


def test_a_bad_copy_cannot_be_replaced_offline(bench: Bench) -> None:
    commit = bench.publish()
    link = fetch(DATASET, [LARGE], commit, "dataset")[LARGE].path
    link.resolve().write_bytes(b"bad")
    with pytest.MonkeyPatch.context() as bench.patch:
        bench.go_offline()
        for _ in range(2):
            with pytest.raises(InputError, match="is not in the cache, and HF_HUB_OFFLINE"):
                fetch(DATASET, [LARGE], commit, "dataset")
    assert_sound(fetch(DATASET, [LARGE], commit, "dataset"), ROWS)


def test_a_cache_without_links_knows_no_digest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    commit = bench.publish()
    with pytest.raises(InputError, match=r"nothing tells whether data/train\.parquet is sound"):
        fetch(DATASET, [LARGE], commit, "dataset")
    pins = {LARGE: hashlib.sha256(ROWS[LARGE]).hexdigest()}
    file = fetch(DATASET, [LARGE], commit, "dataset", pins)[LARGE]
    assert not file.path.is_symlink()
    file.path.write_bytes(b"bad")
    assert_sound(fetch(DATASET, [LARGE], commit, "dataset", pins), ROWS)


# Two runs, and one that is killed


def test_two_runs_at_once_fetch_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first, takes its file, and leaves its half-written one alone."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 8192)
    monkeypatch.setattr(client, "WINDOW", 1.0)
    commit = bench.publish()
    bench.hub.fail(BODY, drip=0.003)
    with ThreadPoolExecutor() as runs:
        first = runs.submit(fetch, DATASET, [LARGE], commit, "dataset")
        wait_for(lambda: bench.files("*.incomplete"))
        second = runs.submit(fetch, DATASET, [LARGE], commit, "dataset")
        assert first.result() == second.result()
    assert_sound(first.result(), ROWS)
    assert bench.hub.requests(BODY) == 1
    assert bench.files("*.incomplete") == []


def test_a_killed_run_leaves_nothing_that_hinders(bench: Bench, tmp_path: Path) -> None:
    commit = bench.publish()
    bench.hub.fail(BODY, drip=0.05)
    call = f"fetch({DATASET!r}, [{LARGE!r}], {commit!r}, 'dataset')"
    code = f"from pipeline.hub.fetch import fetch; {call}"
    home = tmp_path / "home"
    environment = os.environ | bench.hub.environment(home)
    with subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=ROOT) as run:
        wait_for(lambda: bench.hub.requests(BODY))
        run.send_signal(signal.SIGKILL)
    bench.patch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    assert len(bench.files("*.incomplete")) == 1
    bench.hub.heal()
    assert_sound(fetch(DATASET, [LARGE], commit, "dataset"), ROWS)
    assert bench.files("*.incomplete") == []


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# Models


def tensors(seed: int) -> bytes:
    return save({f"weight{seed}": np.full((4, 4), seed, dtype=np.float32)})


class Canary:
    """Unpickled, it writes CANARY into the working directory."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("open('CANARY', 'w').close()",)


CODE = b"open('CANARY', 'w').close()\n"
PLAIN = {
    "config.json": b'{"model_type": "llama"}',
    "generation_config.json": b"{}",
    "tokenizer.json": b'{"model": {}}',
    "tokenizer_config.json": b"{}",
    "model.safetensors": tensors(0),
}
# What a repository may hold besides, and nobody asked for.
BALLAST = {
    "README.md": b"read me",
    "modeling_tiny.py": CODE,
    "pytorch_model.bin": pickle.dumps(Canary()),
    "training_args.bin": pickle.dumps(Canary()),
    "adapter_config.json": b'{"base_model_name_or_path": "acme/other"}',
    "adapter_model.safetensors": tensors(7),
    "consolidated.safetensors": tensors(8),
    "model.fp16.safetensors": tensors(9),
    "original/model.safetensors": tensors(10),
    "onnx/config.json": b"{}",
    "../../CANARY.json": b"evil",
    "/tmp/CANARY.json": b"evil",  # noqa: S108
    "..\\CANARY.json": b"evil",
}
SHARDS = {f"model-0000{n}-of-00002.safetensors": tensors(n) for n in (1, 2)}
INDEX = "model.safetensors.index.json"


def index_of(*shards: str) -> dict[str, bytes]:
    names = {f"weight{n}": shard for n, shard in enumerate(shards, 1)}
    return {INDEX: json.dumps({"weight_map": names}).encode()}


def without(files: dict[str, bytes], *names: str) -> dict[str, bytes]:
    return {name: body for name, body in files.items() if name not in names}


SHARDED = without(PLAIN, "model.safetensors") | SHARDS | index_of(*SHARDS)


@pytest.mark.parametrize("wanted", [PLAIN, SHARDED], ids=["one file", "shards"])
def test_a_model_is_its_config_tokenizer_and_safetensors(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, bytes]
) -> None:
    (tmp_path / MODEL).mkdir(parents=True)
    (tmp_path / MODEL / "config.json").write_bytes(b"evil")
    monkeypatch.chdir(tmp_path)
    commit = bench.hub.add("model", MODEL, wanted | BALLAST)
    folder, files = fetch_model(MODEL, commit)
    assert files.keys() == wanted.keys()
    assert {path.name for path in folder.iterdir()} == wanted.keys()
    assert_sound(files, wanted)
    assert bench.hub.requests("HEAD") == len(wanted)
    assert not list(tmp_path.rglob("*CANARY*"))
    before = len(bench.hub.seen)
    assert fetch_model(MODEL, commit) == (folder, files)
    bench.go_offline()
    assert fetch_model(MODEL, commit) == (folder, files)
    assert len(bench.hub.seen) == before


def test_weights_that_are_kept_twice_are_fetched_once(bench: Bench) -> None:
    commit = bench.hub.add("model", MODEL, PLAIN | SHARDED)
    assert fetch_model(MODEL, commit)[1].keys() == PLAIN.keys()


HEADLESS = {
    "oversized": (10**12).to_bytes(8, "little") + b"{}",
    "beyond the file": (1000).to_bytes(8, "little") + b"{}",
    "no JSON": (4).to_bytes(8, "little") + b"\x1b[2J",
    "empty": b"",
    "cut short": tensors(0)[:-8],
}
NO_MODELS: dict[str, tuple[dict[str, bytes], str]] = {
    "pickled": (
        without(PLAIN, "model.safetensors") | {"pytorch_model.bin": pickle.dumps(Canary())},
        "lacks config.json or safetensors weights",
    ),
    "an adapter": (
        {name: BALLAST[name] for name in ("adapter_config.json", "adapter_model.safetensors")},
        "lacks config.json or safetensors weights",
    ),
    "weights of another layout": (
        without(PLAIN, "model.safetensors") | {"consolidated.safetensors": tensors(1)},
        "lacks config.json or safetensors weights",
    ),
    "no config": (without(PLAIN, "config.json"), "lacks config.json"),
    "shards without an index": (without(SHARDED, INDEX), "lacks config.json or safetensors"),
    "an index without shards": (without(SHARDED, *SHARDS), "lacks config.json or safetensors"),
    "an index that leads out": (
        SHARDED | index_of(*SHARDS, "../../../secret.safetensors"),
        "names '../../../secret.safetensors', which is none of its shards",
    ),
    "a shard that is missing": (without(SHARDED, [*SHARDS][1]), "none of its shards"),
    "an index of nothing": (SHARDED | {INDEX: b"[]"}, "is no index of weights"),
    "an index that is no JSON": (SHARDED | {INDEX: b"\xff"}, "is no index of weights"),
    "an index without bottom": (SHARDED | {INDEX: b"[" * 100_000}, "is no index of weights"),
    **{
        f"header: {name}": (PLAIN | {"model.safetensors": body}, "no sound safetensors header")
        for name, body in HEADLESS.items()
    },
}


@pytest.mark.parametrize(("files", "message"), NO_MODELS.values(), ids=NO_MODELS)
def test_models_that_are_none(
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, bytes],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    commit = bench.hub.add("model", MODEL, files)
    with pytest.raises(InputError, match=message) as refused:
        fetch_model(MODEL, commit)
    line = str(refused.value)
    assert line.startswith(f"cannot fetch model {MODEL}@{commit[:12]}: ")
    assert line.endswith("; choose another model, or set model.source: embedded")
    assert line.isprintable()
    assert bench.hub.requests(r"resolve/.*(\.bin|\.py|adapter_|consolidated)") == 0
    assert not list(tmp_path.rglob("*CANARY*"))


def test_what_was_fetched_loads_without_code_or_another_repository(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = LlamaConfig(
        vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "saved")
    files = {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()}
    names = {"AutoConfig": "modeling_tiny.Tiny", "AutoModelForCausalLM": "modeling_tiny.Tiny"}
    remote = json.loads(files["config.json"]) | {"auto_map": names}
    files["config.json"] = json.dumps(remote).encode()
    folder, _ = fetch_model(MODEL, bench.hub.add("model", MODEL, files | BALLAST))
    before = len(bench.hub.seen)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False, local_files_only=True
    )
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)
    assert len(bench.hub.seen) == before
    assert not list(tmp_path.rglob("*CANARY*"))


def test_a_model_that_does_not_fit_is_not_begun(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = bench.hub.add("model", MODEL, PLAIN)
    needed = sum(map(len, PLAIN.values()))

    def free(amount: int) -> None:
        usage = SimpleNamespace(free=amount)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    free(needed - 1)
    with pytest.raises(InputError, match=r"needs 0\.0 GB, and .* has 0\.0 GB free; free some"):
        fetch_model(MODEL, commit)
    assert bench.hub.requests("resolve") == 0
    free(needed)
    files = fetch_model(MODEL, commit)
    free(0)
    assert fetch_model(MODEL, commit) == files, "what is cached needs no room"


def test_an_unfinished_model_is_not_taken_for_whole_offline(bench: Bench) -> None:
    commit = bench.hub.add("model", MODEL, SHARDED)
    bench.hub.fail("HEAD .*model-00002", status=403)
    with pytest.raises(InputError, match="HTTP 403"):
        fetch_model(MODEL, commit)
    bench.hub.heal()
    with pytest.MonkeyPatch.context() as bench.patch:
        bench.go_offline()
        with pytest.raises(InputError, match=r"model-00002-of-00002\.safetensors is not in the"):
            fetch_model(MODEL, commit)
    assert_sound(fetch_model(MODEL, commit)[1], SHARDED)


@pytest.mark.parametrize("files", [PLAIN, SHARDED], ids=["one file", "shards"])
def test_what_another_program_cached_serves_offline(bench: Bench, files: dict[str, bytes]) -> None:
    commit = bench.hub.add("model", MODEL, files)
    fetched = fetch_model(MODEL, commit)
    shutil.rmtree(bench.files("listings/*")[0].parent)
    bench.go_offline()
    assert fetch_model(MODEL, commit) == fetched
    weights = [name for name in files if name.endswith(".safetensors")]
    (fetched[0] / weights[-1]).unlink()
    with pytest.raises(InputError, match=r"safetensors weights|none of its shards"):
        fetch_model(MODEL, commit)


LIST = "GET /api/models/.*/tree/"
BAD_LISTS: dict[str, tuple[Callable[[Bench], object], str, int]] = {
    "500": (failing(LIST, status=500), "HTTP 500", CLIENT_TRIES),
    "429": (failing(LIST, status=429), "HTTP 429", CLIENT_TRIES),
    "taken down": (failing(LIST, status=403, headers=GONE), "taken the repository down", 1),
    "a login page": (failing(LIST, status=200, body=b"<html>"), "not answer like a Hub", 1),
    "another answer": (failing(LIST, status=200, body=b'{"a": 1}'), "the client failed with", 1),
    "dripping": (
        slow(LIST, drip=0.2),
        "sent next to nothing for 0 s",
        1,
    ),
    "offline": (Bench.go_offline, "its list of files is not in the cache", 0),
}


@pytest.mark.parametrize(("arrange", "message", "asked"), BAD_LISTS.values(), ids=BAD_LISTS)
def test_a_list_of_files_that_cannot_be_had(
    bench: Bench, arrange: Callable[[Bench], object], message: str, asked: int
) -> None:
    commit = bench.hub.add("model", MODEL, PLAIN)
    with pytest.MonkeyPatch.context() as bench.patch:
        arrange(bench)
        with pytest.raises(InputError, match=message) as refused:
            fetch_model(MODEL, commit)
    assert "\n" not in str(refused.value)
    assert bench.hub.requests(LIST) == asked
    assert bench.hub.requests("resolve") == 0
    bench.hub.heal()
    assert_sound(fetch_model(MODEL, commit)[1], PLAIN)


def test_a_list_of_files_that_comes_late_or_went_bad_in_the_cache(bench: Bench) -> None:
    commit = bench.hub.add("model", MODEL, PLAIN)
    bench.hub.fail(LIST, times=3, status=500)
    files = fetch_model(MODEL, commit)
    assert bench.hub.requests(LIST) == 4
    [kept] = bench.files(f"listings/{commit}.json")
    kept.write_bytes(b"{")
    assert fetch_model(MODEL, commit) == files
    assert bench.hub.requests(LIST) == 5


def test_a_gated_model_shows_its_list_and_nothing_else(bench: Bench) -> None:
    commit = bench.hub.add("model", MODEL, PLAIN, gated=True)
    with pytest.raises(InputError, match=f"licence at https://huggingface.co/{MODEL}, then log in"):
        fetch_model(MODEL, commit)
    bench.log_in(bench.hub.token)
    assert_sound(fetch_model(MODEL, commit)[1], PLAIN)
    assert {seen.token for seen in bench.hub.seen if "/cdn/" in seen.line} == {None}


# What a repository holds, and where it stands


def test_file_names_are_asked_for_once(bench: Bench) -> None:
    commit = bench.publish()
    assert file_names(DATASET, commit, "dataset") == sorted(ROWS)
    bench.go_offline()
    assert file_names(DATASET, commit, "dataset") == sorted(ROWS)
    assert len(bench.hub.seen) == 1


def test_a_listing_of_several_pages_is_read_to_its_end(bench: Bench) -> None:
    commit, bench.hub.page = bench.publish(), 1
    assert file_names(DATASET, commit, "dataset") == sorted(ROWS)
    assert bench.hub.requests("tree") == len(ROWS)


def test_a_listing_that_breaks_off_is_refused_and_not_kept(bench: Bench) -> None:
    """Half a list of files would make half a model."""
    commit, bench.hub.page = bench.publish(), 2
    bench.hub.fail("cursor=2", status=404, times=99)
    with pytest.raises(InputError, match="cannot fetch dataset"):
        file_names(DATASET, commit, "dataset")
    bench.hub.heal()
    assert file_names(DATASET, commit, "dataset") == sorted(ROWS)


@pytest.mark.parametrize("name", [*PLAIN, *SHARDED])
def test_safe_names(name: str) -> None:
    assert models.is_safe(name)


@pytest.mark.parametrize("name", BALLAST)
def test_unsafe_names(name: str) -> None:
    assert not models.is_safe(name)
