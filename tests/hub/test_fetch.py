"""Files are fetched once and verified, and a bad copy in the cache is replaced."""

import hashlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants, hf_hub_download

from pipeline.core.console import InputError
from pipeline.hub import client
from pipeline.hub.fetch import fetch
from tests.support.dag import ROOT
from tests.support.hub_bench import (
    BODY,
    DATASET,
    LARGE,
    ROWS,
    SMALL,
    Bench,
    assert_sound,
    wait_for,
)


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


def test_a_file_without_its_pinned_digest_is_refused(bench: Bench) -> None:
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
