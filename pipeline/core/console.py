"""All that stages say on a terminal: one line for a mistake, and how far a long loop is."""

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from datetime import timedelta
from time import monotonic
from typing import Generic, TypeVar

import rich.progress
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

_T = TypeVar("_T")

OUT_OF_MEMORY = (
    "there is not enough memory; in params.yaml set runtime.checkpointing: true, lower "
    "runtime.pairs_per_pass (1 is least), tokens_per_batch of extraction and generation or "
    "selfie.texts_per_batch, or shorten texts by text.prompt_tokens and text.response_tokens"
)
ALLOCATORS = ("out of memory", "can't allocate memory", "ALLOC_FAILED")  # as torch reports them
SECONDS_BETWEEN_LINES = 30  # of a long loop's progress where there is no terminal
MISSPELT = 0.65  # difflib's ratio from which one name may be a misspelling of the other


class InputError(ValueError):
    """A mistake in params or data. Its message is one line: what is wrong, where, the remedy."""


def run(stage: Callable[[], None]) -> None:
    """Run a stage's main and leave; an InputError, or an error for want of memory, becomes one line
    on stderr and exit code 2.

    Leaves without Python's own clean-up, which takes more than a second for the objects of torch
    and the like; every file is written and closed by now.
    """
    code = 0
    try:
        stage()
    except InputError as mistake:
        code = fail(str(mistake))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        code = fail(f"{OUT_OF_MEMORY} ({one_line(error)})")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def one_line(error: Exception) -> str:
    """What a library says of its own failure, short enough to stand within a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, a card's or the machine's, by the error's name and message: torch,
    which is not imported here, has a class of its own for cards alone."""
    said = isinstance(error, RuntimeError) and any(text in str(error) for text in ALLOCATORS)
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
