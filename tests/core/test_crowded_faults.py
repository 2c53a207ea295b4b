"""A full disk, a closed folder, a stop: one line each with the way on, and files as they were."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.core.crowded import LINES, line_of
from tests.support.dag import ROOT

HEAD = """
import os, signal, sys, time
from pathlib import Path
from pipeline.core.console import run
from pipeline.core.files import whole, write_json
"""


def stage(body: str, *, folder: Path, **kwargs: object) -> subprocess.CompletedProcess[str]:
    lines = "\n    ".join(body.splitlines())
    return subprocess.run(
        [sys.executable, "-c", f"{HEAD}\ndef main():\n    {lines}\nrun(main)"], cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, check=False,
        **{"capture_output": True, **kwargs},
    )  # fmt: skip


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("number", LINES)
def test_each_fault_of_the_machine_is_one_line_with_the_way_on(number: int) -> None:
    said = line_of(OSError(number, os.strerror(number), "models/base"))
    assert said is not None
    assert os.strerror(number).lower() in said
    assert "run it again" in said


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EINVAL, errno.EISDIR, errno.ECONNRESET])
def test_other_faults_are_not_the_machines(number: int) -> None:
    assert line_of(OSError(number, os.strerror(number), "x")) is None
    assert line_of(ValueError("shape mismatch")) is None


def test_libraries_that_hand_on_words_alone_are_understood() -> None:
    words = "Error while serializing: I/O error: No space left on device (os error 28)"
    assert "no room left" in str(line_of(RuntimeError(words)))


def test_a_rank_that_is_left_alone_points_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """As gloo says it; to a process that is no rank, it says nothing of the machine."""
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1")
    monkeypatch.delenv("RANK", raising=False)
    assert line_of(lost) is None
    monkeypatch.setenv("RANK", "0")
    assert str(line_of(lost)).startswith("another rank of this stage has ended, or does not answer")
    assert line_of(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None


full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")


@full
def test_a_full_disk_names_the_file_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    """The draft lies on a device that is always full."""
    (tmp_path / "m.json").write_text("before", encoding="utf-8")
    body = """
with whole(Path("m.json")) as draft:
    draft.symlink_to("/dev/full")
    draft.write_text("x" * 10**6)
"""
    done = stage(body, folder=tmp_path)
    assert done.returncode == 2
    assert one_line(done) == (
        "error: there is no room left for m.json: no space left on device; free some space, or "
        "raise the quota, and run it again: it goes on from what was finished"
    )
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["before"]


@full
def test_output_that_nobody_can_keep_is_one_line(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as nowhere:
        done = stage("print('x')", folder=tmp_path, capture_output=False, stdout=nowhere,
                     stderr=subprocess.PIPE)  # fmt: skip
    assert "no room left" in one_line(done)


WRITES = {
    "a text": 'write_json(Path("m"), {"text": "x" * 10**5})',
    "tensors": "import numpy as np\nfrom safetensors.numpy import save_file\n"
    'with whole(Path("m")) as draft:\n    save_file({"a": np.zeros(10**5)}, draft)',
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_limit_of_file_size_is_one_line(tmp_path: Path, write: str) -> None:
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
    done = stage(limit + write, folder=tmp_path)
    assert "no room left for m: file too large" in one_line(done)
    assert [*tmp_path.iterdir()] == []


def test_a_folder_without_permission_is_one_line(tmp_path: Path) -> None:
    """root may write anywhere: there, the call that would be refused is made to say so."""
    (tmp_path / "closed").mkdir(mode=0o500)
    body = """
import pipeline.core.files
if os.getuid() == 0:
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "closed/.m.json.draft")
    Path.write_text = refuse
write_json(Path("closed/m.json"), {})
"""
    done = stage(body, folder=tmp_path)
    assert done.returncode == 2
    assert "closed/m.json is closed to this user: permission denied" in one_line(done)


def test_a_reader_that_has_seen_enough_is_no_fault(tmp_path: Path) -> None:
    code = f"{HEAD}\nrun(lambda: print('line\\n' * 10**6))"
    lines = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert lines.stdout is not None
    assert lines.stderr is not None
    lines.stdout.readline()
    lines.stdout.close()
    assert lines.wait() == 128 + signal.SIGPIPE
    assert lines.stderr.read() == b""
    lines.stderr.close()


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")]
)
@pytest.mark.parametrize("when", ["within", "while importing"])
def test_a_stop_is_one_line_and_leaves_files_as_they_were(
    tmp_path: Path, number: signal.Signals, name: str, when: str
) -> None:
    (tmp_path / "m.json").write_text("before", encoding="utf-8")
    work = """
with whole(Path("m.json")) as draft:
    draft.write_text("half")
    Path("ready").touch()
    time.sleep(60)
"""
    lines = "\n    ".join(work.splitlines())
    code = {
        "within": f"{HEAD}\ndef main():\n    {lines}\nrun(main)",
        "while importing": f"import stages\n{HEAD}\nPath('ready').touch()\ntime.sleep(60)",
    }[when]
    running = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until = time.monotonic() + 60
    while not (tmp_path / "ready").exists() and time.monotonic() < until:
        time.sleep(0.02)
    running.send_signal(number)
    _, said = running.communicate()
    assert running.returncode == 128 + number
    (line,) = said.splitlines()
    assert line.startswith(f"error: stopped by {name}; what was there before is as it was; run it")
    (tmp_path / "ready").unlink()
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["before"]
