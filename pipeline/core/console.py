"""All that stages say on a terminal: one line for a mistake, and how far a long loop is."""

import difflib
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Generic, TypeVar

import rich.progress
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from pipeline.core import crowded

_T = TypeVar("_T")

OUT_OF_MEMORY = (
    "there is not enough memory; in params.yaml set runtime.checkpointing: true, lower "
    "runtime.pairs_per_pass (1 is least), tokens_per_batch of extraction and generation or "
    "selfie.texts_per_batch, or shorten texts by text.prompt_tokens and text.response_tokens"
)
ALLOCATORS = ("out of memory", "can't allocate memory", "ALLOC_FAILED")  # as torch reports them
SECONDS_BETWEEN_LINES = 30  # of a long loop's progress where there is no terminal
RUNNING_NOTE = "LEGIBLE_RUNNING"  # names the file in which a process says that it runs
MISSPELT = 0.65  # difflib's ratio from which one name may be a misspelling of the other


class InputError(ValueError):
    """A mistake in params or data. Its message is one line: what is wrong, where, the remedy."""


def run(stage: Callable[[], None]) -> None:
    """Run a stage's main and leave; an InputError, an error that the machine is to blame for, or a
    stop becomes one line on stderr: exit code 2, and 128 and the signal's number for a stop.

    Leaves without Python's own clean-up, which takes more than a second for the objects of torch
    and the like; every file is written and closed by now.
    """
    code = 0
    crowded.end_by_sigterm()
    try:
        with _noted():
            stage()
            sys.stdout.flush()
    except KeyboardInterrupt as stop:
        line, code = crowded.stopped(stop)
        if not crowded.is_rank():  # the process that started all ranks says it
            fail(line)
    except BrokenPipeError:  # what reads the output has seen enough, as `head` has
        code = 128 + signal.SIGPIPE
    except InputError as mistake:
        code = fail(str(mistake))
    except Exception as error:
        known = f"{OUT_OF_MEMORY} ({one_line(error)})" if is_out_of_memory(error) else None
        known = known or crowded.line_of(error)
        if known is None:
            raise
        code = fail(known)
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


@contextmanager
def _noted() -> Iterator[None]:
    """Within, a file that whoever runs this process has named says so: one that is killed without
    a word leaves it. Of several ranks, the process that started them is the one to be noted."""
    named = os.environ.pop(RUNNING_NOTE, "")
    note = Path(named) if named else None
    if note:
        stage = os.environ.get("DVC_STAGE") or Path(sys.argv[0]).stem
        note.write_text(f"stage {stage}", encoding="utf-8")
    try:
        yield
    finally:
        if note:
            note.unlink(missing_ok=True)


def one_line(error: Exception) -> str:
    """What a library says of its own failure, short enough to stand within a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, a card's or the machine's, by the error's name and message: torch,
    which is not imported here, has a class of its own for cards alone."""
    said = isinstance(error, RuntimeError) and any(text in str(error) for text in ALLOCATORS)
    said = said or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    return said or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def spelt_like(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` may be a misspelling of: case, a letter or two."""
    folded = {one.casefold(): one for one in sorted(known)}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=MISSPELT)
    return folded[close[0]] if close else None


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: what may be meant, or all that is known."""
    names = sorted(known)
    close = spelt_like(name, names)
    return f"; did you mean {close!r}?" if close else f"; known: {', '.join(names)}"


def fail(message: str) -> int:
    """Print a message in one line on stderr; returns the exit code."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def variant_name() -> str:
    """The variant that this process works on.

    The first argument, when run by hand; else from the name that DVC gives the stage
    (`adapters@supcon`). Never from a templated command, which a shell would interpret.
    """
    name = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("DVC_STAGE", "").partition("@")[2]
    if not name:
        raise InputError("which variant? Give its name: python -m stages.NAME VARIANT")
    return name


class Progress(Generic[_T]):
    """The items of a long loop, under a bar in a terminal; elsewhere a line every half minute says
    how far it is, so that a log of hours stays short and a loop of seconds says nothing.

    `say(loss=0.5)` puts numbers beside it, from then on.
    """

    def __init__(self, items: Iterable[_T], description: str, total: int | None = None):
        self.items, self.description = items, description
        self.total = len(items) if total is None and isinstance(items, Sized) else total
        self.numbers: dict[str, float] = {}

    def say(self, **numbers: float) -> None:
        self.numbers |= numbers

    def __iter__(self) -> Iterator[_T]:
        console = Console(stderr=True)
        return self._under_a_bar(console) if console.is_terminal else self._with_lines()

    def _under_a_bar(self, console: Console) -> Iterator[_T]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                   TextColumn("{task.fields[said]}"), TimeRemainingColumn())  # fmt: skip
        with rich.progress.Progress(*columns, console=console, transient=True) as bars:
            bar = bars.add_task(self.description, total=self.total, said="")
            for item in self.items:
                yield item
                bars.update(bar, advance=1, said=self._said())

    def _with_lines(self) -> Iterator[_T]:
        start = last = monotonic()
        for done, item in enumerate(self.items):
            now = monotonic()
            if done and now - last >= SECONDS_BETWEEN_LINES:
                last = now
                print(self._line(done, (now - start) / done), file=sys.stderr, flush=True)
            yield item

    def _line(self, done: int, seconds_each: float) -> str:
        if self.total is None:
            return f"{self.description}: {done} {self._said()}".rstrip()
        left = timedelta(seconds=round((self.total - done) * seconds_each))
        parts = [f"{done} of {self.total}", self._said(), f"{left} left"]
        return f"{self.description}: " + ", ".join(part for part in parts if part)

    def _said(self) -> str:
        return ", ".join(f"{name} {value:.4g}" for name, value in self.numbers.items())


def progress(items: Iterable[_T], description: str, total: int | None = None) -> Progress[_T]:
    """The items of a long loop, with how far it is said on stderr."""
    return Progress(items, description, total)
