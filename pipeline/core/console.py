"""All that stages say on a terminal: one line for a mistake, and a bar for a long loop."""

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

_T = TypeVar("_T")

OUT_OF_MEMORY = (
    "there is not enough memory; in params.yaml set runtime.checkpointing: true, lower "
    "runtime.pairs_per_pass (1 is least), tokens_per_batch of extraction and generation or "
    "selfie.texts_per_batch, or shorten texts by text.prompt_tokens and text.response_tokens"
)
ALLOCATORS = ("out of memory", "can't allocate memory", "ALLOC_FAILED")  # as torch reports them
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


def progress(items: Iterable[_T], description: str, total: int | None = None) -> Iterator[_T]:
    """Yield items under a progress bar; without a terminal, nothing is shown."""
    console = Console(stderr=True)
    yield from track(
        items, description, total=total, console=console, disable=not console.is_terminal
    )
