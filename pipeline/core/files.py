"""Files are written whole or not at all, and the same numbers give the same bytes."""

import csv
import hashlib
import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.core.crowded import WRITTEN

Tree = Mapping[str, "Tree | float | int | str | bool | list[str]"]
KeyPath = tuple[str, ...]  # the keys that lead to a number in a tree


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary neighbour of `path` to write to; on success it replaces `path`.

    Works for a file and for a folder. Where the block or the replacing fails, `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft, old = path.with_name(f".{path.name}.draft"), path.with_name(f".{path.name}.old")
    _put_back(old, path)
    remove(draft)
    try:
        yield draft
        if path.is_dir():
            path.replace(old)
        draft.replace(path)
    except Exception as error:
        error.add_note(f"{WRITTEN}{path}")
        raise
    finally:
        _put_back(old, path)
        remove(draft)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """The digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def branch(tree: dict[str, Any], path: Iterable[str]) -> dict[str, Any]:
    """The part of a tree under a path of keys; empty dicts are put in where keys are missing."""
    for key in path:
        tree = tree.setdefault(key, {})
    return tree


def write_json(path: Path, tree: Tree, digits: int = 6) -> None:
    """Write a tree of numbers and words: keys sorted, floats to `digits` significant digits.

    With 17 digits, every float is read back as it was.
    Raises ValueError with the path of keys of a number that is not finite.
    """
    text = json.dumps(_rounded(tree, digits, ()), indent=2, sort_keys=True, allow_nan=False)
    with whole(path) as draft:
        draft.write_text(text + "\n", encoding="utf-8")


def write_table(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows of the same columns as CSV, floats to six significant digits. Without a row the
    file is empty."""
    written = [{key: f"{v:.6g}" if isinstance(v, float) else v for key, v in row.items()}
               for row in rows]  # fmt: skip
    with whole(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        if written:
            table = csv.DictWriter(file, [*written[0]], lineterminator="\n")
            table.writeheader()
            table.writerows(written)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _rounded(value: object, digits: int, path: tuple[str, ...]) -> object:
    if isinstance(value, Mapping):
        return {
            str(key): _rounded(inner, digits, (*path, str(key))) for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_rounded(inner, digits, path) for inner in value]
    if isinstance(value, str | bool | int):
        return value
    number = float(value)  # type: ignore[arg-type]  # numpy scalars come this way
    if not math.isfinite(number):
        raise ValueError(f"{'.'.join(path)} is {number}; a metric must be finite")
    return float(f"{number:.{digits}g}")


def _put_back(old: Path, path: Path) -> None:
    """Undo a replacing that was done by half: a folder can't replace another in a single move."""
    if old.exists() and not path.exists():
        old.replace(path)
    remove(old)
