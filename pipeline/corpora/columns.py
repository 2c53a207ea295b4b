"""Which columns of a table are wanted, found by their names as people write them."""

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from pipeline.core.console import InputError
from pipeline.core.text_identity import normalised

BYTE_ORDER_MARK = "\ufeff"

TableRow = tuple[str, dict[str, str]]  # where it stands, in words; its cells by column
AsMeant = Counter[str]  # the number of things that were read otherwise than written, by kind


@dataclass(frozen=True)
class Wanted:
    """The columns to read. One of `optional` that is not there reads as "". Names are of those
    columns that hold names, such as labels: there, true and false and whole numbers are text."""

    columns: Sequence[str]
    optional: Sequence[str] = ()
    names: Sequence[str] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.columns, *self.optional)

    def named(self, where: object, names: Sequence[str]) -> dict[str, str]:
        """What each wanted column is called among some names: by its own or, where just one is the
        same to a reader, by that one. Columns that are not there are left out.

        Raises InputError where several may be meant.
        """
        found = {}
        for column in self.all:
            alike = [name for name in names if normalised(name) == normalised(column)]
            if column in names:
                found[column] = column
            elif len(alike) > 1:
                raise InputError(
                    f"{where} has {len(alike)} columns that may be {column!r}: {listed(alike)}; "
                    "rename all but one"
                )
            elif alike:
                found[column] = alike[0]
        return found


def renamed(names: Mapping[str, str]) -> set[str]:
    """The columns that are called otherwise than they are wanted."""
    return {column for column, name in names.items() if name != column}


class Unmarked:
    """The lines of a file without the byte order marks that stand where files were joined. marks:
    how many have been left out since the start."""

    def __init__(self, file: TextIO):
        self.file, self.marks = file, 0

    def __iter__(self) -> Iterator[str]:
        for line in self.file:
            self.marks += line.count(BYTE_ORDER_MARK)
            yield line.replace(BYTE_ORDER_MARK, "")

    def from_the_start(self) -> "Unmarked":
        self.file.seek(0)
        self.marks = 0
        return self


def listed(names: Sequence[str]) -> str:
    return textwrap.shorten(", ".join(names), 200, placeholder=" ...")
