"""`make repro` says what a killed run, or a second one at work, has done to DVC's files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline.core.reproduce import is_whole
from tests.support.clones import dvc, git
from tests.support.dag import ROOT

WAIT = "from pipeline.core.console import run; from pathlib import Path; import os, time; "
STAGES = {
    "quick": "echo done > quick.txt",
    "killed": f"{sys.executable} -c '{WAIT}run(lambda: os.kill(os.getpid(), 9))'",
    "slow": f"{sys.executable} -c '{WAIT}run(lambda: [Path(\"ready\").touch(), time.sleep(60)])'",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose quick stage has run."""
    folder = tmp_path_factory.mktemp("made")
    stages = {name: {"cmd": command, "outs": [f"{name}.txt"]} for name, command in STAGES.items()}
    (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}), encoding="utf-8")
    git(folder, "init", "-q")
    assert dvc(folder, "init", "-q").returncode == 0
    assert dvc(folder, "repro", "-q", "quick").returncode == 0
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "made")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "own", symlinks=True))


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.core.reproduce", *words], cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip


def said_by(running: subprocess.Popen[str]) -> list[str]:
    _, said = running.communicate(timeout=50)
    return [line for line in said.splitlines() if line.startswith("error: ")]


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert path.exists()


def test_a_torn_lock_is_said_with_the_way_on_and_nothing_else_is_lost(folder: Path) -> None:
    lock = folder / "dvc.lock"
    lock.write_bytes(lock.read_bytes()[:40])
    assert "validation failed" in dvc(folder, "repro", "quick").stderr, (
        "what DVC itself makes of it"
    )
    running = start(folder, "quick")
    (line,) = said_by(running)
    assert running.returncode == 2
    assert line.startswith("error: dvc.lock is torn: a run was killed, or the disk was full, while")
    git(folder, "checkout", "dvc.lock")
    running = start(folder, "quick")
    assert said_by(running) == []
    assert running.returncode == 0
    assert (folder / "quick.txt").read_text(encoding="utf-8") == "done\n"


@given(st.integers(0, 10**6))
def test_a_committed_lock_cut_anywhere_is_refused_or_is_read_by_dvc(cut: int) -> None:
    """Cut between two stages, it is a lock of fewer stages; nearly everywhere else, none."""
    from dvc.dvcfile import Lockfile  # its own check, as the oracle

    lock = (ROOT / "dvc.lock").read_bytes()[:20_000]
    part = lock[: cut % len(lock)]
    if is_whole(part):
        Lockfile.validate(YAML(typ="safe").load(part.decode()))


def test_a_second_run_is_refused_and_a_killed_one_is_not_in_the_way(folder: Path) -> None:
    first = start(folder, "slow")
    wait_for(folder / "ready")
    second = start(folder, "slow")
    (line,) = said_by(second)
    assert second.returncode == 2
    assert "is at work in this repository; wait until it ends, or run in another clone" in line
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    third = start(folder, "quick")
    assert said_by(third) == []
    assert third.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_reaches_the_stage_and_leaves_dvcs_files_whole(
    folder: Path, number: signal.Signals
) -> None:
    running = start(folder, "slow")
    wait_for(folder / "ready")
    if number == signal.SIGINT:
        os.killpg(running.pid, number)  # as a terminal does
    else:
        running.send_signal(number)
    (line,) = said_by(running)
    assert "stopped by" in line
    assert running.returncode != 0
    assert is_whole((folder / "dvc.lock").read_bytes())


def test_a_stage_that_was_killed_without_a_word_is_named_with_the_remedy(folder: Path) -> None:
    running = start(folder, "killed")
    (line,) = said_by(running)
    assert running.returncode == 2
    assert line.startswith(
        "error: stage killed was killed without a word, most often by the kernel"
    )
    assert "runtime.pairs_per_pass" in line


def test_notes_that_dvc_cannot_read_are_taken_away(folder: Path) -> None:
    (folder / ".dvc/tmp/rwlock").write_text('{"read": {"a', encoding="utf-8")
    running = start(folder, "quick")
    assert said_by(running) == []
    assert running.returncode == 0
