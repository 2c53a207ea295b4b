"""Tables of texts, read row by row: CSV, TSV and JSON lines. What cells mean is not known here.

What people's programs write is taken as meant, where only one thing can be meant: names of columns
in capitals, empty rows, a header in the middle of joined files, marks that mark nothing.
"""

import codecs
import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.core.console import InputError
from pipeline.core.text_identity import is_blank, normalised
from pipeline.corpora.columns import AsMeant, TableRow, Unmarked, Wanted, listed, renamed
from pipeline.corpora.json_lines import read_json_lines

SUFFIXES = (".csv", ".tsv", ".jsonl")
DELIMITERS = ",;\t|"
# Characters. A quote that is never closed ends here, before it fills the memory.
LONGEST_CELL = 2**27


def find_tables(folder: Path) -> list[Path]:
    """Every table of a folder, by name."""
    return sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def read_table(path: Path, wanted: Wanted, as_meant: AsMeant | None = None) -> Iterator[TableRow]:
    """Yield every row of a table, whatever its delimiter: the wanted columns, all of them text.

    UTF-8, with or without a byte order mark, and UTF-16 with one. Memory holds one row at a time.
    `as_meant` is added to. Raises InputError naming the file, the row or line, and the remedy.
    """
    lines, read = ("\n", read_json_lines) if path.suffix.lower() == ".jsonl" else ("", _read_csv)
    where, counted = "its start", as_meant if as_meant is not None else Counter()
    try:
        with path.open(encoding=_encoding(path), newline=lines) as file:
            unmarked = Unmarked(file)
            for where, cells in read(path, unmarked, wanted, counted):
                for name, cell in cells.items():
                    if "\0" in cell:
                        raise InputError(f"{where}: {name!r} holds a NUL character; remove it")
                yield where, cells
            counted["byte_order_marks"] += unmarked.marks
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


def _read_csv(path: Path, file: Unmarked, wanted: Wanted, as_meant: AsMeant) -> Iterator[TableRow]:
    delimiter, header = _find_header(path, file, wanted)
    names = wanted.named(path, header)
    _check_header(path, header, names, wanted)
    as_meant["columns_in_another_form"] += len(renamed(names))
    lines = _split(path, file, delimiter)
    next(lines)
    number = kept = 0
    for number, cells in enumerate(lines, 1):
        if all(map(is_blank, cells)):
            as_meant["empty_rows"] += 1
            continue
        if len(cells) == len(header) and all(map(_is_same_name, cells, header)):
            as_meant["repeated_headers"] += 1
            continue
        if not all(map(is_blank, cells[len(header) :])):
            raise InputError(_too_long(path, number, len(cells), len(header)))
        row = dict(zip(header, cells, strict=False))  # a short row ends in empty cells
        kept += 1
        yield f"{path} row {number}", {c: row.get(names.get(c, ""), "") for c in wanted.all}
    if not kept:
        raise InputError(f"{path} has a header but no row; remove it or fill it")


def _is_same_name(cell: str, name: str) -> bool:
    return cell.strip().casefold() == name.strip().casefold()


def _split(path: Path, file: Unmarked, delimiter: str) -> Iterator[list[str]]:
    """Every line's cells, from the file's start; blank lines are none.

    Strict: read leniently, a stray quote would swallow the rows up to the next quote.
    """
    csv.field_size_limit(LONGEST_CELL)
    lines = csv.reader(file.from_the_start(), delimiter=delimiter, strict=True)
    try:
        yield from filter(None, lines)
    except csv.Error as error:
        raise InputError(
            f"{path} is not a regular CSV: {error}, at line {lines.line_num}; "
            "quote cells that hold quotes, and double those"
        ) from None


def _find_header(path: Path, file: Unmarked, wanted: Wanted) -> tuple[str, list[str]]:
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
    columns = {*map(normalised, wanted.columns)}
    return max(
        headers.items(),
        key=lambda found: (columns <= {*map(normalised, found[1])}, len(found[1])),
    )


def _check_header(
    path: Path, header: Sequence[str], names: Mapping[str, str], wanted: Wanted
) -> None:
    for column in wanted.columns:
        if column not in names:
            raise InputError(
                f"{path} has no column {column!r} (it has {listed(header)}); rename one of them"
            )
    for name, times in Counter(filter(None, header)).items():
        if times > 1 and name in names.values():
            raise InputError(f"{path} has {times} columns {name!r}; keep one")


def _too_long(path: Path, number: int, cells: int, columns: int) -> str:
    if number == 1:
        return f"{path} has rows with more cells than the header; complete the header"
    return (
        f"{path} is not a regular CSV: row {number} has {cells} cells and the header {columns}; "
        "quote cells that hold the delimiter"
    )
