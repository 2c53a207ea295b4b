"""What a full, closed or shared machine does to a run, said in one line with the way on."""

import errno
import os
import signal
import sys
import threading
from types import FrameType, TracebackType

WRITTEN = "while writing "  # begins the note by which an error says which file it met
GO_ON = "run it again: it goes on from what was finished"
FULL = (
    "there is no room left for {where}: {said}; free some space, or raise the quota, and " + GO_ON
)
CLOSED = "{where} is closed to this user: {said}; give yourself permission, and " + GO_ON
TOO_MANY = "too many files are open: {said}; raise the limit (ulimit -n), and " + GO_ON
LINES: dict[int, str] = {
    errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EFBIG: FULL,
    errno.EACCES: CLOSED, errno.EPERM: CLOSED, errno.EROFS: CLOSED,
    errno.EMFILE: TOO_MANY, errno.ENFILE: TOO_MANY,
}  # fmt: skip


LOST = (
    "another rank of this stage has ended, or does not answer; its own lines say why; mend that, "
    "and " + GO_ON
)
# How torch says so, for each of its ways between ranks.
LOST_WORDS = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "Timed out wait",
)


class Terminated(KeyboardInterrupt):
    """Somebody asked this process to end: SIGTERM."""


def line_of(error: BaseException) -> str | None:
    """The line for an error that the machine is to blame for; None for any other.

    Libraries that write files in other languages (safetensors, torch) hand on the system's words
    and not its number.
    """
    if is_rank() and isinstance(error, RuntimeError) and any(w in str(error) for w in LOST_WORDS):
        return LOST
    number = next((n for n in LINES if _is(error, n)), None)
    if number is None:
        return None
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith(WRITTEN)]
    named = getattr(error, "filename", None)
    where = notes[0].removeprefix(WRITTEN) if notes else str(named or "a file")
    return LINES[number].format(where=where, said=os.strerror(number).lower())


def stopped(by: KeyboardInterrupt) -> tuple[str, int]:
    """The line for a process that was stopped, and the exit code that shells know it by."""
    name, number = ("SIGTERM", 15) if isinstance(by, Terminated) else ("Ctrl-C", 2)
    return f"stopped by {name}; what was there before is as it was; {GO_ON}", 128 + number


def is_rank() -> bool:
    """Whether this process is one of several that work on one stage."""
    return "RANK" in os.environ


def end_by_sigterm() -> None:
    """From now on SIGTERM ends this process as Ctrl-C does: files are left whole. Not in one of
    several ranks, which may wait for others for ever and are to end at once."""
    if threading.current_thread() is threading.main_thread() and not is_rank():
        signal.signal(signal.SIGTERM, _end)


def say_stops() -> None:
    """From now on a stop outside of `run`, as while modules are imported, is one line too."""
    end_by_sigterm()
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, KeyboardInterrupt):
            before(kind, error, trace)
            return
        line, code = stopped(error)
        if not is_rank():
            print(f"error: {line}", file=sys.stderr, flush=True)
        os._exit(code)

    sys.excepthook = hook


def _end(_: int, __: FrameType | None) -> None:
    raise Terminated


def _is(error: BaseException, number: int) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == number
    said = str(error)
    return f"(os error {number})" in said or os.strerror(number) in said
