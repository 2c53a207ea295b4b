"""Patience with the Hub's client: its tries, its progress, and what killed runs left behind."""

import logging
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

T = TypeVar("T")


TRIES = 4  # of a file; only for failures that the client itself never tries again


WAIT = 2.0  # seconds before the second try; doubled for each further one


# Seconds in which something must reach the disk. The client writes 10 MiB at a time, so that the
# slowest server with which it bears sends 17 kB a second. Its own patience has room in them: six
# tries of a connection, or the Hub's rate limit of five minutes.
WINDOW = 600.0


def with_retries(
    source: Revision, name: str, work: Callable[[], T], again: Callable[[BaseException], bool]
) -> T:
    """The result of `work`, tried anew after the failures that `again` names."""
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
def quiet_client() -> Iterator[None]:
    """Without the client's warnings on each try, which tell signed addresses."""
    from huggingface_hub.utils import logging as client

    level = client.get_verbosity()
    client.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        client.set_verbosity(level)


def watched(source: Revision, work: Callable[[], T]) -> T:
    """The result of `work`, given up when it makes no headway; the client would wait for ever.

    Headway is any change to what is half-written in the repository's cache, by this run's hand
    or, where that one holds the lock, by another's. A thread given up ends with the process.
    """
    outcome: Future[T] = Future()

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
    """Files being written, each with when it last was: some grow, some are filled out of order."""
    found = set()
    for partial in (folder / "blobs").glob("*.incomplete"):
        with suppress(FileNotFoundError):
            found.add((partial.name, partial.stat().st_mtime_ns))
    return found
