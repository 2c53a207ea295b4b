"""Tables of any dialect read back as they were written, or get one line that says why not.

Longer than other files, as every mistake in a table has a case here.
"""

import csv
import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.core.console import InputError
from pipeline.core.text_identity import is_blank
from pipeline.corpora.cells import optional_text, text_in
from pipeline.corpora.columns import Wanted
from pipeline.corpora.tables import find_tables, read_table

COLUMNS = ("prompt", "response", "concept")
HEAD = "prompt,response,concept\n"
Rows = list[dict[str, str]]

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
# What delimiters, quotes and line ends are made of, in every language of the keyboard.
awkward = st.text(st.sampled_from("a,;\t|\"'\r\n \\\u2028\u0085\ufeffé漢😀"), max_size=12)
tables = st.lists(st.tuples(*[texts | awkward] * 3), min_size=1, max_size=6)


def read(path: Path, *optional: str) -> Rows:
    return [
        {
            name: (optional_text if name in optional else text_in)(where, name, cell)
            for name, cell in cells.items()
        }
        for where, cells in read_table(path, Wanted(COLUMNS, optional=optional))
    ]


def meant(rows: Sequence[Sequence[str]]) -> Rows:
    """The rows that say anything, without the marks that mark nothing."""
    said = [[c.replace("\ufeff", "") for c in row] for row in rows if not all(map(is_blank, row))]
    return [dict(zip(COLUMNS, row, strict=True)) for row in said]


def written(folder: Path, content: bytes | str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@given(
    tables,
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
@settings(max_examples=200)
def test_any_dialect_reads_back_as_it_was_written(
    tmp_path: Path,
    rows: list[tuple[str, str, str]],
    delimiter: str,
    quoting: Literal[0, 1, 2],
    line_end: str,
    encoding: str,
) -> None:
    if quoting == csv.QUOTE_MINIMAL:
        line_end = "\r\n"  # the writer quotes only those line ends that it writes itself
    path = tmp_path / "t.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=line_end)
        writer.writerows([COLUMNS, *rows])
    assume(meant(rows))
    assert read(path) == meant(rows)


@given(tables, st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_any_json_lines_read_back_as_they_were_written(
    tmp_path: Path, rows: list[tuple[str, str, str]], ascii_only: bool, line_end: str
) -> None:
    objects = [dict(zip(COLUMNS, row, strict=True)) for row in rows if any(row)]
    assume(objects)
    lines = [json.dumps(fields, ensure_ascii=ascii_only) + line_end for fields in objects]
    assert read(written(tmp_path, "".join(lines), "t.jsonl")) == [
        {name: cell.replace("\ufeff", "") for name, cell in fields.items()} for fields in objects
    ]


@given(
    st.sampled_from(["t.csv", "t.tsv", "t.jsonl"]),
    st.sampled_from(
        [b"", HEAD.encode(), b'{"prompt": "', b"\xff\xfe", b"\xef\xbb\xbf", b"[" * 20000]
    ),
    st.binary(max_size=60) | awkward.map(str.encode),
)
@settings(max_examples=300)
def test_any_bytes_are_rows_or_one_line(
    tmp_path: Path, name: str, start: bytes, end: bytes
) -> None:
    rows, said = rows_or_mistake(written(tmp_path, start + end, name))
    assert bool(rows) != bool(said)
    assert len(said.splitlines()) == (name in said)
    assert all(isinstance(cell, str) for cells in rows for cell in cells.values())


def rows_or_mistake(path: Path) -> tuple[Rows, str]:
    try:
        return read(path, "safe_response"), ""
    except InputError as mistake:
        return [], str(mistake)


@given(tables)
def test_regular_tables_are_what_pandas_reads(
    tmp_path: Path, rows: list[tuple[str, str, str]]
) -> None:
    """Another reader as the oracle, on what both promise to read."""
    odd = {13: "r", 10: "n", 0xFEFF: "m"}
    plain = [["-" + cell.translate(odd) for cell in row] for row in rows]
    path = tmp_path / "t.csv"
    pd.DataFrame(plain, columns=list(COLUMNS)).to_csv(path, index=False, quoting=csv.QUOTE_ALL)
    expected = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert read(path) == expected.to_dict("records")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("other", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_that_finds_the_columns(
    tmp_path: Path, delimiter: str, other: str
) -> None:
    """However often another one stands in the cells, or in further columns' names."""
    names, cells = [*COLUMNS, f"no{other}te"], [other * 9, "b", f"c{other}", ""]
    path = tmp_path / "t.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([names, cells])
    assert read(path) == [{"prompt": other * 9, "response": "b", "concept": f"c{other}"}]


@pytest.mark.parametrize("odd", ["NA", "None", "nan", "", " ", "1.0", "a\u2028b", "a\n\r\nb", "-"])
def test_cells_are_text_and_nothing_else(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "t.tsv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([(*COLUMNS, "id"), [odd, odd, odd, "1"]])
    assert read(path) == [dict.fromkeys(COLUMNS, odd)]


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_a_cell_of_a_million_characters(tmp_path: Path, name: str) -> None:
    cells = {"prompt": "ä" * 10**6, "response": "b", "concept": "c"}
    line = ",".join(cells.values()) if name == "t.csv" else json.dumps(cells)
    head = HEAD if name == "t.csv" else ""
    assert read(written(tmp_path, head + line, name)) == [cells]


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_memory_holds_a_row_and_not_the_table(tmp_path: Path, name: str) -> None:
    cells = dict.fromkeys(COLUMNS, "x" * 300)
    line = ",".join(cells.values()) if name == "t.csv" else json.dumps(cells)
    head = HEAD if name == "t.csv" else ""
    path = written(tmp_path, head + f"{line}\n" * 5000, name)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_table(path, Wanted(COLUMNS))) == 5000
        assert tracemalloc.get_traced_memory()[1] < 500_000 < path.stat().st_size / 8
    finally:
        tracemalloc.stop()


def test_columns_that_nobody_asked_for_are_left_out(tmp_path: Path) -> None:
    content = "id,prompt,,response,concept,\n7,a,x,b,c,y\n"
    assert read(written(tmp_path, content)) == [{"prompt": "a", "response": "b", "concept": "c"}]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.csv", f"{HEAD}a,b,c\n", ""),
        ("t.csv", "prompt,response,concept,safe_response\na,b,c,d\n", "d"),
        ("t.csv", "prompt,response,concept,safe_response\na,b,c\n", ""),
        ("t.jsonl", '{"prompt":"a","response":"b","concept":"c"}', ""),
        ("t.jsonl", '{"prompt":"a","response":"b","concept":"c","safe_response":null}', ""),
        ("t.jsonl", '{"prompt":"a","response":"b","concept":"c","safe_response":"d","n":[1]}', "d"),
    ],
)
def test_an_optional_column_may_be_absent(
    tmp_path: Path, name: str, content: str, expected: str
) -> None:
    (cells,) = read(written(tmp_path, content, name), "safe_response")
    assert cells["safe_response"] == expected


def test_rows_know_where_they_stand_and_blank_lines_are_none(tmp_path: Path) -> None:
    path = written(tmp_path, f'\n{HEAD}\na,"b\n\nb",c\n\n\na,b,c\n\n')
    assert [where for where, _ in read_table(path, Wanted(COLUMNS))] == [
        f"{path} row 1",
        f"{path} row 2",
    ]
    line = '{"prompt":"a","response":"b","concept":"c"}'
    path = written(tmp_path, f"{line}\n\n  \n{line}\n", "t.jsonl")
    assert [where for where, _ in read_table(path, Wanted(COLUMNS))] == [
        f"{path} line 1",
        f"{path} line 4",
    ]


def test_tables_are_found_by_their_endings_in_the_order_of_their_names(tmp_path: Path) -> None:
    tables = [
        "a.JSONL",
        "b.csv",
        "c.Tsv",
        "d.json.gz",
        "e.CSV.GZ",
        "f.parquet",
        "g.arrow",
        "h.json",
    ]
    for name in (*tables, "d.txt", "csv", "e.csv.bak", "f.parquet.gz", "g.gz"):
        written(tmp_path, "", name)
    (tmp_path / "folder.csv").mkdir()
    assert [path.name for path in find_tables(tmp_path)] == tables
    assert find_tables(tmp_path / "nowhere") == []


OBJECT = {"prompt": "a", "response": "b", "concept": "c"}
MISTAKES: dict[str, tuple[str, bytes | str, str]] = {
    "nothing": ("t.csv", "", "t.csv is empty; remove it or fill it"),
    "a mark alone": ("t.csv", b"\xef\xbb\xbf", "t.csv is empty"),
    "blank lines alone": ("t.csv", "\r\n\n", "t.csv is empty"),
    "no line": ("t.jsonl", "\n", "t.jsonl is empty"),
    "a header alone": ("t.csv", HEAD, "t.csv has a header but no row"),
    "a column that is missing": ("t.csv", "prompt;answer;concept\na;b;c\n", r"t.csv has no column 'response' \(it has prompt, answer, concept\)"),
    "a name over two lines": ("t.csv", '"pro\nmpt",response,concept\na,b,c\n', r"no column 'prompt' \(it has pro mpt, response, concept\)"),
    "two columns of a name": ("t.csv", "prompt,response,prompt,concept\na,b,c,d\n", "t.csv has 2 columns 'prompt'; keep one"),
    "Latin-1": ("t.csv", f"{HEAD}caf\xe9,b,c\n".encode("latin-1"), "t.csv is not UTF-8 somewhere after its start; save it as UTF-8"),
    "Latin-1 in JSON": ("t.jsonl", json.dumps(OBJECT).encode() + b"\n\xe9", "t.jsonl is not UTF-8"),
    "UTF-32": ("t.csv", HEAD.encode("utf-32"), "t.csv is not UTF-8; save it as UTF-8"),
    "UTF-16 without a mark": ("t.csv", HEAD.encode("utf-16-le"), "t.csv is not UTF-8; save it as UTF-8"),
    "half of UTF-16": ("t.csv", HEAD.encode("utf-16")[:-1], "t.csv is not UTF-8"),
    "rows that are too long": ("t.csv", f"{HEAD}a,b,c,d\n", "t.csv has rows with more cells than the header"),
    "a row that is too long": ("t.csv", f"{HEAD}a,b,c\na,b,c,d,e\n", "t.csv is not a regular CSV: row 2 has 5 cells and the header 3"),
    "a quote that is never closed": ("t.csv", f'{HEAD}a,b,c\n"a,b,c\na,b,c\n', "t.csv is not a regular CSV: unexpected end of data, at line 4"),
    "a quote out of place": ("t.csv", f'{HEAD}"a"b,b,c\n', "t.csv is not a regular CSV: ',' expected after '\"', at line 2"),
    "quotes alone": ("t.csv", '"', "t.csv is not a regular CSV"),
    "no JSON": ("t.jsonl", json.dumps(OBJECT) + "\n{prompt: a}", "t.jsonl line 2 is not JSON: Expecting property name"),
    "two objects on a line": ("t.jsonl", json.dumps(OBJECT) * 2, "t.jsonl line 1 is not JSON: Extra data"),
    "no object": ("t.jsonl", '"a"', "t.jsonl line 1 is no JSON object"),
    "a list of no objects": ("t.json", '["a", "b"]', "t.json item 1 is no JSON object"),
    "a key that is missing": ("t.jsonl", '{"prompt": "a", "concept": "c"}', r"t.jsonl line 1 has no 'response' \(it has prompt, concept\)"),
    "a key that stands twice": ("t.jsonl", '{"prompt": "a", "prompt": "b"}', "line 1 is not JSON that can be read: a key stands there twice"),
    "a number": ("t.jsonl", json.dumps(OBJECT | {"concept": 3}), "t.jsonl line 1: 'concept' is 3, not text"),
    "null": ("t.jsonl", json.dumps(OBJECT | {"prompt": None}), "line 1: 'prompt' is None, not text"),
    "a list of many": ("t.jsonl", json.dumps(OBJECT | {"response": ["b"] * 999}), r"'response' is \['b', 'b', .*\.\.\.\], not text"),
    "half a character": ("t.jsonl", json.dumps(OBJECT | {"response": "\ud800"}), "'response' holds half a character"),
    "a deep nest": ("t.jsonl", "[" * 10**5, "t.jsonl is not JSON that can be read: nested too deeply"),
    "a number of many digits": ("t.jsonl", '{"n": ' + "9" * 9999 + "}", "line 1 is not JSON that can be read"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_one_line_that_names_where(
    tmp_path: Path, name: str, content: bytes | str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as mistake:
        read(written(tmp_path, content, name), "safe_response")
    assert len(str(mistake.value).splitlines()) == 1


def test_what_cannot_be_decoded_is_named_by_the_last_row_before_it(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD.encode() + b"a,b,c\n" * 9000 + b"\xff,b,c\n")
    with pytest.raises(InputError, match=r"is not UTF-8 somewhere after .*t\.csv row \d{4};"):
        read(path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"t\.csv cannot be read: No such file"):
        read(tmp_path / "t.csv")
