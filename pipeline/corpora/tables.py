"""Tables of texts, read row by row, in whatever format. What cells mean is not known here.

What people's programs write is taken as meant, where only one thing can be meant: names of columns
in capitals, empty rows, a header in the middle of joined files, marks that mark nothing.
"""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.console import InputError
from pipeline.core.text_identity import is_blank, normalised
from pipeline.corpora.arrow_tables import arrow_columns, read_arrow
from pipeline.corpora.columns import AsMeant, TableRow, Unmarked, Wanted, is_empty, renamed
from pipeline.corpora.json_lines import json_columns, read_json_rows

GZIP = ".gz"
OF_TEXT = (".csv", ".tsv", ".jsonl", ".json")  # these, also compressed by gzip
OF_ARROW = (".parquet", ".arrow")
STATE = "state.json"  # stands in a folder that `datasets.save_to_disk` wrote, beside its tables
# What else stands there, and what is left there by those who worked with it.
NO_TABLE = re.compile(r"(state|dataset_info|dataset_dict)\.json$|cache-.*\.arrow$")
DELIMITERS = ",;\t|"
# Characters. A quote that is never closed ends here, before it fills the memory.
LONGEST_CELL = 2**27


def find_tables(folder: Path) -> list[Path]:
    """Every table that lies in a folder, by name."""
    kinds = (*OF_TEXT, *OF_ARROW)
    files = [path for path in folder.glob("*") if kind_of(path) in kinds and path.is_file()]
    return sorted(path for path in files if not NO_TABLE.match(path.name))


def is_saved(folder: Path) -> bool:
    """Whether `datasets.save_to_disk` wrote a folder."""
    return (folder / STATE).is_file()


def kind_of(path: Path) -> str:
    """The ending that says how a table is read, without that of its compression."""
    packed = path.suffix.lower() == GZIP
    ending = Path(path.stem).suffix.lower() if packed else path.suffix.lower()
    return "" if packed and ending not in OF_TEXT else ending


def title_of(path: Path) -> str:
    """What a table is called: its file's name without endings, or that of its saved dataset."""
    if is_saved(path.parent):
        return path.parent.name
    return Path(path.stem).stem if path.suffix.lower() == GZIP else path.stem


def read_table(path: Path, wanted: Wanted, as_meant: AsMeant | None = None) -> Iterator[TableRow]:
    """Yield every row of a table: the wanted columns, as the format has them. Cells of CSV are
    text, whatever the delimiter; those of other formats may be numbers, lists or None.

    Text is UTF-8, with or without a byte order mark, or UTF-16 with one. Memory holds one row at a
    time, or a list of JSON objects whole. `as_meant` is added to. Raises InputError naming the
    file, the row or line, and the remedy.
    """
    where, counted = "its start", as_meant if as_meant is not None else Counter()
    read = _read_text if kind_of(path) in OF_TEXT else _read_arrow
    try:
        for where, cells in read(path, wanted, counted):
            yield where, cells
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 somewhere after {where}; save it as UTF-8") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InputError(f"{path} is no whole gzip file; compress it again") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def columns_of(path: Path) -> list[str]:
    """The names of a table's columns; of JSON, those of its first rows."""
    if kind_of(path) not in OF_TEXT:
        return arrow_columns(path)
    with _lines(path) as lines:
        if kind_of(path).startswith(".json"):
            return json_columns(path, lines)
        return _find_header(path, lines, Wanted(()))[1]


def _read_text(path: Path, wanted: Wanted, as_meant: AsMeant) -> Iterator[TableRow]:
    read = read_json_rows if kind_of(path).startswith(".json") else _read_csv
    with _lines(path) as lines:
        yield from read(path, lines, wanted, as_meant)
        as_meant["byte_order_marks"] += lines.marks


def _read_arrow(path: Path, wanted: Wanted, as_meant: AsMeant) -> Iterator[TableRow]:
    kept = 0
    for where, cells in read_arrow(path, wanted, as_meant):
        if is_empty(cells):
            as_meant["empty_rows"] += 1
            continue
        kept += 1
        yield where, cells
    if not kept:
        raise InputError(f"{path} has no row; remove it or fill it")


@contextmanager
def _lines(path: Path) -> Iterator[Unmarked]:
    is_packed = path.suffix.lower() == GZIP
    with path.open("rb") as raw, gzip.open(raw) if is_packed else raw as file:
        encoding = _encoding(path, file.read(4))
        file.seek(0)
        newline = "\n" if kind_of(path).startswith(".json") else ""
        yield Unmarked(io.TextIOWrapper(file, encoding, newline=newline))


def _encoding(path: Path, start: bytes) -> str:
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) and start[2:] != b"\0\0":
        return "utf-16"
    if b"\0" in start:  # UTF-32, or UTF-16 without its mark
        raise InputError(f"{path} is not UTF-8; save it as UTF-8")
    return "utf-8-sig"


def _read_csv(path: Path, file: Unmarked, wanted: Wanted, as_meant: AsMeant) -> Iterator[TableRow]:
    delimiter, header = _find_header(path, file, wanted)
    names = wanted.in_header(path, header)
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
        yield (
            f"{path} row {number}",
            {
                column: row.get(names[column], "") if column in names else None
                for column in wanted.all
            },
        )
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
    columns = {*map(normalised, (*wanted.columns, *wanted.sparse))}
    return max(
        headers.items(),
        key=lambda found: (columns <= {*map(normalised, found[1])}, len(found[1])),
    )


def _too_long(path: Path, number: int, cells: int, columns: int) -> str:
    if number == 1:
        return f"{path} has rows with more cells than the header; complete the header"
    return (
        f"{path} is not a regular CSV: row {number} has {cells} cells and the header {columns}; "
        "quote cells that hold the delimiter"
    )
