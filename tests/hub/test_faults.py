"""Whatever the network, the Hub or a disk does: one line and no trace, and the next run is well."""

import errno
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pytest
from huggingface_hub import constants

from pipeline.core.console import InputError
from pipeline.hub import client
from pipeline.hub.client import TRIES
from pipeline.hub.fetch import fetch
from tests.support.hub_bench import (
    BAD,
    BODY,
    CLIENT_TRIES,
    DATASET,
    GONE,
    HEAD,
    LARGE,
    ROWS,
    SOON,
    Bench,
    assert_sound,
    failing,
    slow,
)


@dataclass(frozen=True)
class Failure:
    """How it comes about, what the line says, and how often each kind of request was made."""

    arrange: Callable[[Bench], object]
    says: tuple[str, ...]
    requests: dict[str, int] = field(default_factory=dict)
    waits: int = 0  # of the client


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
    "no folder for a cache": Failure(file_for_a_cache, ("cannot be written", "HF_HOME")),
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


# Failures that pass


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
def test_a_failure_that_passes_is_tried_again(
    bench: Bench, fault: dict[str, Any], requests: dict[str, int]
) -> None:
    commit = bench.publish()
    bench.hub.fail(**{"times": 1, **fault})
    assert_sound(fetch(DATASET, [LARGE], commit, "dataset"), ROWS)
    assert {pattern: bench.hub.requests(pattern) for pattern in requests} == requests
    if fault.get("headers") == SOON:
        assert 7 + 1 in bench.slept
    assert bench.files("*.incomplete") == []


def test_a_slow_server_that_goes_on_sending_is_not_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 8192)
    monkeypatch.setattr(client, "WINDOW", 1.0)
    commit = bench.publish()
    bench.hub.fail(BODY, drip=0.003)
    start = time.monotonic()
    assert_sound(fetch(DATASET, [LARGE], commit, "dataset"), ROWS)
    assert time.monotonic() - start > 2 * client.WINDOW
