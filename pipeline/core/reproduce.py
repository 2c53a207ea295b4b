"""`dvc repro`, with a line for what DVC itself meets on a crowded machine: `make repro`."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
from itertools import chain
from pathlib import Path
from types import FrameType

import psutil  # type: ignore[import-untyped]
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.core.console import OUT_OF_MEMORY, RUNNING_NOTE, InputError, run

LOCK = Path("dvc.lock")
WORKING = Path(".dvc/tmp/lock")  # held while DVC works on the repository
BUSY = Path(".dvc/tmp/rwlock")  # which process reads or writes which paths, while stages run


def main() -> None:
    check_alone()
    check_lock(LOCK)
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "running"
        code = reproduce(sys.argv[1:], note)
        if note.is_file():
            killed = note.read_text(encoding="utf-8")
            raise InputError(
                f"{killed} was killed without a word, most often by the kernel for want of memory. "
                f"What was there before is as it was. If {OUT_OF_MEMORY}"
            )
    if code:
        check_lock(LOCK)
        sys.exit(code)


def reproduce(words: list[str], note: Path) -> int:
    """Run DVC, and give its exit code. A stop reaches the stage, which says so; DVC then ends by
    itself, with its own files whole. note: where a running stage writes its name."""
    command = [sys.executable, "-m", "dvc", "repro", *words]
    dvc = subprocess.Popen(command, env=os.environ | {RUNNING_NOTE: str(note)})

    def stop_stage(_: int, __: FrameType | None) -> None:
        for process in psutil.Process(dvc.pid).children(recursive=True):
            process.terminate()

    signal.signal(signal.SIGTERM, stop_stage)
    signal.signal(signal.SIGINT, lambda *_: None)  # a terminal sends it to all of them
    return dvc.wait()


def check_lock(path: Path) -> None:
    """Raises InputError where dvc.lock is torn: DVC was stopped while it wrote it."""
    if path.is_file() and not is_whole(path.read_bytes()):
        raise InputError(
            f"{path} is torn: a run was killed, or the disk was full, while DVC wrote it; run "
            f"`git checkout {path}`, then again: nothing else is lost, and what ran since is taken "
            "from DVC's cache"
        )


def is_whole(lock: bytes) -> bool:
    """Whether DVC can read a lock file: YAML that passes DVC's own schema."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA  # type: ignore[import-untyped]
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(lock.decode()) or {})
    except (Invalid, YAMLError, UnicodeDecodeError):
        return False
    return True


def check_alone() -> None:
    """Raises InputError where another run of this repository is at work. What a killed one noted
    is taken away: DVC may not be able to read it, or take another process for that run."""
    if WORKING.is_file():
        with WORKING.open("rb") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise _busy("another command of DVC") from None
    if BUSY.is_file():
        for number in filter(_is_dvc, _noted_processes()):
            raise _busy(f"process {number}")
        BUSY.unlink()


def _noted_processes() -> list[int]:
    """The processes that read or write something, by DVC's notes; none where these are torn."""
    try:
        notes = json.loads(BUSY.read_text(encoding="utf-8"))
        holders = [*notes["write"].values(), *chain(*notes["read"].values())]
        return sorted({int(holder["pid"]) for holder in holders})
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _is_dvc(number: int) -> bool:
    """Whether a process is alive and a command of DVC's: numbers are given anew."""
    try:
        return any("dvc" in word for word in psutil.Process(number).cmdline())
    except psutil.Error:
        return False


def _busy(who: str) -> InputError:
    return InputError(
        f"{who} is at work in this repository; wait until it ends, or run in another clone"
    )


if __name__ == "__main__":
    run(main)
