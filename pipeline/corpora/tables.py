"""Tables of texts, read row by row: CSV, TSV and JSON lines. What cells mean is not known here."""

import codecs
import csv
import json
import reprlib
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from pipeline.core.console import InputError

SUFFIXES = (".csv", ".tsv", ".jsonl")
DELIMITERS = ",;\t|"
# Characters. A quote that is never closed ends here, before it fills the memory.
LONGEST_CELL = 2**27

TableRow = tuple[str, dict[str, str]]  # where it stands, in words; its cells by column


def find_tables(folder: Path) -> list[Path]:
    """Every table of a folder, by name."""
    return sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def read_table(
    path: Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[TableRow]:
    """Yield every row of a table, whatever its delimiter: the wanted columns, all of them text.

    A column of `optional` that is not there reads as "". UTF-8, with or without a byte order mark,
    and UTF-16 with one. Memory holds one row at a time.
    Raises InputError naming the file, the row or line, and the remedy.
    """
    read = _read_json_lines if path.suffix.lower() == ".jsonl" else _read_csv
    where = "its start"
    try:
        with path.open(encoding=_encoding(path), newline="") as file:
            for row in read(path, file, columns, optional):
                where = row[0]
                yield row
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 somewhere after {where}; save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) and start[2:] != b"\0\0":
        return "utf-16"
    if b"\0" in start:  # UTF-32, or UTF-16 without its mark
        raise InputError(f"{path} is not UTF-8; save it as UTF-8")
    return "utf-8-sig"


def _read_csv(
    path: Path, file: TextIO, columns: Sequence[str], optional: Sequence[str]
) -> Iterator[TableRow]:
    delimiter, header = _find_header(path, file, columns)
    _check_header(path, header, columns)
    lines = _split(path, file, delimiter)
    next(lines)
    number = 0
    for number, cells in enumerate(lines, 1):
        if len(cells) > len(header):
            raise InputError(_too_long(path, number, len(cells), len(header)))
        named = dict(zip(header, cells, strict=False))  # a short row ends in empty cells
        where = f"{path} row {number}"
        yield where, {name: named.get(name, "") for name in (*columns, *optional)}
    if number == 0:
        raise InputError(f"{path} has a header but no row; remove it or fill it")


def _split(path: Path, file: TextIO, delimiter: str) -> Iterator[list[str]]:
    """Every line's cells, from the file's start; blank lines are none.

    Strict: read leniently, a stray quote would swallow the rows up to the next quote.
    """
    file.seek(0)
    csv.field_size_limit(LONGEST_CELL)
    lines = csv.reader(file, delimiter=delimiter, strict=True)
    try:
        yield from filter(None, lines)
    except csv.Error as error:
        raise InputError(
            f"{path} is not a regular CSV: {error}, at line {lines.line_num}; "
            "quote cells that hold quotes, and double those"
        ) from None


def _find_header(path: Path, file: TextIO, columns: Sequence[str]) -> tuple[str, list[str]]:
    """The delimiter under which the first line names the wanted columns, and its names.

    Where none does, the one that finds most names, for a message to list.
    """
    headers: dict[str, list[str]] = {}
    irregular = InputError(f"{path} is empty; remove it or fill it")
    for delimiter in DELIMITERS:
        try:
            headers[delimiter] = next(_split(path, file, delimiter), [])
        except InputError as mistake:
            irregular = mistake
    if not any(headers.values()):
        raise irregular
    return max(headers.items(), key=lambda found: (set(columns) <= {*found[1]}, len(found[1])))


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    for column in columns:
        if column not in header:
            raise InputError(
                f"{path} has no column {column!r} (it has {_listed(header)}); rename one of them"
            )
    for name, times in Counter(filter(None, header)).items():
        if times > 1:
            raise InputError(f"{path} has {times} columns {name!r}; keep one")


def _too_long(path: Path, number: int, cells: int, columns: int) -> str:
    if number == 1:
        return f"{path} has rows with more cells than the header; complete the header"
    return (
        f"{path} is not a regular CSV: row {number} has {cells} cells and the header {columns}; "
        "quote cells that hold the delimiter"
    )


def _read_json_lines(
    path: Path, file: TextIO, columns: Sequence[str], optional: Sequence[str]
) -> Iterator[TableRow]:
    empty = True
    for number, line in enumerate(file, 1):
        if line.strip():
            empty = False
            where = f"{path} line {number}"
            fields = _object(where, line)
            for column in columns:
                if column not in fields:
                    raise InputError(
                        f"{where} has no {column!r} (it has {_listed([*fields])}); add it or "
                        "rename one of them"
                    )
            # null is how many writers say that an optional text is not there
            absent = {name: "" for name in optional if fields.get(name) is None}
            wanted = {name: (fields | absent)[name] for name in (*columns, *optional)}
            yield where, {name: _text(where, name, value) for name, value in wanted.items()}
    if empty:
        raise InputError(f"{path} is empty; remove it or fill it")


def _object(where: str, line: str) -> dict[str, Any]:
    try:
        fields = json.loads(line, object_pairs_hook=_unrepeated)
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise InputError(f"{where} is not JSON that can be read: nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{where} is not JSON that can be read: {error}") from None
    if not isinstance(fields, dict):
        raise InputError(f"{where} is no JSON object; write {{...}}, one a line")
    return fields


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key stands there twice; keep one")
    return fields


def _text(where: str, name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}: {name!r} is {reprlib.repr(value)}, not text; put it in quotes")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{where}: {name!r} holds half a character (a lone surrogate)") from None
    return value


def _listed(names: Sequence[str]) -> str:
    return textwrap.shorten(", ".join(names), 200, placeholder=" ...")
