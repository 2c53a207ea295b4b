"""JSON lines, read as text: one object a line. Lines end at line feeds alone."""

import json
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.core.console import InputError
from pipeline.corpora.columns import (
    BYTE_ORDER_MARK,
    AsMeant,
    TableRow,
    Unmarked,
    Wanted,
    listed,
    renamed,
)


def read_json_lines(
    path: Path, file: Unmarked, wanted: Wanted, as_meant: AsMeant
) -> Iterator[TableRow]:
    """Yield every object of a file that has one a line; see pipeline.corpora.tables.read_table."""
    empty, in_another_form = True, set[str]()
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        fields = _object(where, line)
        if fields and all(value is None or value == "" for value in fields.values()):
            as_meant["empty_rows"] += 1
            continue
        empty = False
        names = wanted.named(where, [*fields])
        in_another_form |= renamed(names)
        for column in wanted.columns:
            if column not in names:
                raise InputError(
                    f"{where} has no {column!r} (it has {listed([*fields])}); add it or "
                    "rename one of them"
                )
        cells = {column: fields[name] for column, name in names.items()}
        for column in wanted.names:
            if isinstance(cells[column], bool | int):
                cells[column] = json.dumps(cells[column])
                as_meant["names_that_were_no_text"] += 1
        # null is how many writers say that an optional text is not there
        absent = {name: "" for name in wanted.optional if cells.get(name) is None}
        yield where, {name: _text(where, name, value) for name, value in (cells | absent).items()}
    as_meant["columns_in_another_form"] += len(in_another_form)
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
    return value.replace(BYTE_ORDER_MARK, "")
