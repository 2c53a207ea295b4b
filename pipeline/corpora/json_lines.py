"""JSON, read as rows: one object a line, or one list of objects. Lines end at line feeds alone."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.core.console import InputError
from pipeline.corpora.columns import (
    AsMeant,
    TableRow,
    Unmarked,
    Wanted,
    is_empty,
    listed,
    missing,
    renamed,
)

FIRST_OBJECTS = 100  # objects that say which keys there are


def read_json_rows(
    path: Path, file: Unmarked, wanted: Wanted, as_meant: AsMeant
) -> Iterator[TableRow]:
    """Yield every object of a file; see pipeline.corpora.tables.read_table."""
    empty, in_another_form, seen = True, set[str](), dict[str, None]()
    for where, fields in _objects(path, file):
        if fields and is_empty(fields):
            as_meant["empty_rows"] += 1
            continue
        empty = False
        names = wanted.named(where, [*fields])
        seen |= dict.fromkeys(fields)
        in_another_form |= renamed(names)
        for column in wanted.columns:
            if column not in names:
                raise InputError(
                    f"{where} has no {column!r} (it has {listed([*fields])}); add it or "
                    "rename one of them"
                )
        yield where, {name: fields.get(names.get(name, "")) for name in wanted.all}
    as_meant["columns_in_another_form"] += len(in_another_form)
    if empty:
        raise InputError(f"{path} is empty; remove it or fill it")
    names = wanted.named(path, [*seen])
    for column in wanted.sparse:
        if column not in names:
            raise InputError(missing(path, column, [*seen]))


def json_columns(path: Path, file: Unmarked) -> list[str]:
    """The keys of a file's first objects."""
    first = islice(_objects(path, file), FIRST_OBJECTS)
    return [*dict.fromkeys(key for _, fields in first for key in fields)]


def _objects(path: Path, file: Unmarked) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object with where it stands: the items of a list that the file is, or its lines."""
    lines = enumerate(file, 1)
    for number, line in lines:
        if number == 1 and line.lstrip().startswith("["):
            whole = "".join((line, *(rest for _, rest in lines)))
            for at, item in enumerate(_parsed(f"{path}", whole), 1):
                yield f"{path} item {at}", _object(f"{path} item {at}", item)
        elif line.strip():
            where = f"{path} line {number}"
            yield where, _object(where, _parsed(where, line))


def _parsed(where: str, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unrepeated)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise InputError(
            f"{where} is not JSON: {error.msg} at {line}column {error.colno}"
        ) from None
    except RecursionError:
        raise InputError(f"{where} is not JSON that can be read: nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{where} is not JSON that can be read: {error}") from None


def _object(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where} is no JSON object; write {{...}}, one a line or one an item")
    return value


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key stands there twice; keep one")
    return fields
