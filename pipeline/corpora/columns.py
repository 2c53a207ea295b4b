"""Which columns of a table are wanted, found by their names as people write them."""

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from pipeline.core.console import InputError
from pipeline.core.text_identity import normalised

BYTE_ORDER_MARK = "\ufeff"

TableRow = tuple[str, dict[str, Any]]  # where it stands, in words; its cells by column
AsMeant = Counter[str]  # the number of things that were read otherwise than written, by kind


@dataclass(frozen=True)
class Wanted:
    """The columns to read. One of `sparse` may be missing from a line of JSON, but not from a whole
    table; one of `optional` from a table too. What is missing reads as None."""

    columns: Sequence[str]
    sparse: Sequence[str] = ()
    optional: Sequence[str] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.columns, *self.sparse, *self.optional)

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

    def in_header(self, path: object, header: Sequence[str]) -> dict[str, str]:
        """The same of a table whose header says what all rows have.

        Raises InputError for a column that is not there, or there twice.
        """
        names = self.named(path, header)
        for column in (*self.columns, *self.sparse):
            if column not in names:
                raise InputError(missing(path, column, header))
        for name, times in Counter(filter(None, header)).items():
            if times > 1 and name in names.values():
                raise InputError(f"{path} has {times} columns {name!r}; keep one")
        return names


def missing(path: object, column: str, header: Sequence[str]) -> str:
    return (
        f"{path} has no column {column!r} (it has {listed(header)}); rename one of them, or "
        "name yours in corpora.csv.texts and corpora.csv.label"
    )


def is_empty(cells: Mapping[str, Any]) -> bool:
    """Whether a row says nothing: every cell is missing or empty."""
    return all(cell is None or cell == "" or cell == [] for cell in cells.values())


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
