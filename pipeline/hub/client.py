"""How the Hub's client is called: where a hub was asked for, retried, watched, without chatter."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from pipeline.core.console import InputError
from pipeline.hub.faults import StalledError, reason_of
from pipeline.hub.revision import Revision

_T = TypeVar("_T")

TRIES = 4  # of a file; only for failures that the client itself never tries again
WAIT = 2.0  # seconds before the second try; doubled for each further one
# Seconds without a byte on the disk after which a request is given up. The client writes 10 MiB at
# a time, so a server slower than 17 kB/s is given up too. The window is longer than the client's
# own waits, which are no stall: six tries of a connection, or the Hub's rate limit of five minutes.
WINDOW = 600.0


def with_retries(
    source: Revision, name: str, work: Callable[[], _T], again: Callable[[BaseException], bool]
) -> _T:
    """The result of `work`, tried up to TRIES times.

    again: whether a failure is worth another try. Raises InputError, one line about `name`.
    """
    for tried in range(1, TRIES + 1):
        try:
            return work()
        except InputError:
            raise
        except Exception as error:  # the client raises errors of four libraries
            if tried == TRIES or not again(error):
                raise source.refusal(reason_of(error, source, name)) from error
        time.sleep(WAIT * 2 ** (tried - 1))
    raise AssertionError("the last try returns or raises")


def remove_abandoned(folder: Path) -> None:
    """Remove what killed runs left half-written; a living run holds the lock of its file."""
    from filelock import FileLock

    for partial in (folder / "blobs").glob("*.incomplete"):
        lock = folder.parent / ".locks" / folder.name / f"{partial.name.partition('.')[0]}.lock"
        with suppress(OSError, NotImplementedError), FileLock(lock, timeout=0):
            partial.unlink(missing_ok=True)


@contextmanager
def connected() -> Iterator[None]:
    """Within, the Hub's client may connect, unless the user forbids it (HF_HUB_OFFLINE), and says
    nothing of its own: its warnings on each try would print signed addresses."""
    from huggingface_hub import constants
    from huggingface_hub.utils import logging as client

    level, offline = client.get_verbosity(), constants.HF_HUB_OFFLINE
    client.set_verbosity(logging.ERROR)
    constants.HF_HUB_OFFLINE = os.environ["LEGIBLE_OFFLINE"].upper() in ("1", "ON", "TRUE", "YES")
    try:
        yield
    finally:
        client.set_verbosity(level)
        constants.HF_HUB_OFFLINE = offline


def watched(source: Revision, work: Callable[[], _T]) -> _T:
    """The result of `work`, given up where it makes no headway; the client would wait for ever.

    Headway is any change within WINDOW to a half-written file in the repository's cache. This run
    may write that file, or another run that holds its lock. A thread that was given up ends with
    the process. Raises StalledError, or what `work` raises.
    """
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    partials = _partials(source.folder)
    while not wait([outcome], timeout=WINDOW).done:
        before, partials = partials, _partials(source.folder)
        if partials == before:
            raise StalledError(f"{WINDOW:.0f} s")
    return outcome.result()


def _partials(folder: Path) -> set[tuple[str, int]]:
    """Files being written, with the time of each one's last write. Their sizes would not do: some
    files have their full size from the start and are filled out of order."""
    found = set()
    for partial in (folder / "blobs").glob("*.incomplete"):
        with suppress(FileNotFoundError):
            found.add((partial.name, partial.stat().st_mtime_ns))
    return found
