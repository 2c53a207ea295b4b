"""Tables as people have them: what can mean one thing only is taken as meant, and counted."""

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.console import InputError
from pipeline.core.files import read_json
from pipeline.corpora.cells import labels_in, text_in
from pipeline.corpora.columns import AsMeant, Wanted
from pipeline.corpora.corpus import write_manifest
from pipeline.corpora.folder_corpus import read_tables
from pipeline.corpora.tables import read_table
from tests.support.own_texts import csv_corpora

COLUMNS = ("prompt", "response", "concept")
HEAD = "prompt,response,concept\n"
LINE = {"prompt": "a", "response": "b", "concept": "c"}
MARK = "\ufeff"
ROW = dict(zip(COLUMNS, "abc", strict=True))


def read(path: Path, content: str, name: str = "t.csv") -> tuple[list[dict[str, str]], AsMeant]:
    file, counted = path / name, AsMeant()
    file.write_bytes(content.encode())
    rows = read_table(file, Wanted(COLUMNS, optional=("safe_response",)), counted)
    found = [{name: text_in(where, name, cells[name]) for name in COLUMNS} for where, cells in rows]
    return found, +counted


AS_MEANT: dict[str, tuple[str, str, str]] = {
    "capitals": ("t.csv", "Prompt,RESPONSE,Concept\na,b,c\n", "columns_in_another_form"),
    "spaces around names": ("t.csv", "prompt, response ,concept\na,b,c\n", "columns_in_another_form"),
    "capitals in JSON": ("t.jsonl", '{"Prompt":"a","response":"b","concept":"c"}', "columns_in_another_form"),
    "empty rows": ("t.csv", f"{HEAD}a,b,c\n,,\n  ,,\n,,,,\n", "empty_rows"),
    "rows of unseen marks": ("t.csv", f"{HEAD}a,b,c\n\u200b,,\n", "empty_rows"),
    "a row of nulls": ("t.jsonl", json.dumps(LINE) + "\n" + json.dumps(dict.fromkeys(LINE)), "empty_rows"),
    "a header in the middle": ("t.csv", f"{HEAD}a,b,c\nPrompt,response, concept\n", "repeated_headers"),
    "joined files": ("t.csv", f"{MARK}{HEAD}{MARK}a,b,c\n", "byte_order_marks"),
    "joined quoted files": ("t.csv", f'{MARK}{HEAD}{MARK}"a",b,c\n', "byte_order_marks"),
    "joined JSON lines": ("t.jsonl", f"{json.dumps(LINE)}\n{MARK}", "byte_order_marks"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "kind"), AS_MEANT.values(), ids=AS_MEANT)
def test_it_is_read_as_meant_and_counted(
    tmp_path: Path, name: str, content: str, kind: str
) -> None:
    rows, counted = read(tmp_path, content, name)
    assert rows == [ROW]
    assert set(counted) == {kind}


def test_a_longer_header_row_and_empty_cells_beyond_it(tmp_path: Path) -> None:
    assert read(tmp_path, "prompt,response,concept,,\na,b,c,,\n")[0] == [ROW]
    assert read(tmp_path, f"{HEAD}a,b,c,,\n")[0] == [ROW]


@pytest.mark.parametrize(
    ("label", "text"), [(True, "true"), (False, "false"), (0, "0"), (12, "12")]
)
def test_true_false_and_whole_numbers_are_labels(label: bool | int, text: str) -> None:
    counted = AsMeant()
    assert labels_in("line 1", "concept", label, counted) == (text,)
    assert counted == {"names_that_were_no_text": 1}
    with pytest.raises(InputError, match="line 1: 'prompt' is True, not text"):
        text_in("line 1", "prompt", True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("PROMPT,Prompt,response,concept\na,a,b,c\n", "t.csv has 2 columns that may be 'prompt': PROMPT, Prompt; rename all but one"),
        ("prompt,response,concept,Safe_response,SAFE_RESPONSE\na,b,c,d,e\n", "2 columns that may be 'safe_response'"),
        (f"{HEAD}a,b\0b,c\n", "t.csv row 1: 'response' holds a NUL character; remove it"),
        (f"{HEAD},,\n,,\n", "t.csv has a header but no row"),
    ],
)  # fmt: skip
def test_what_may_mean_two_things_is_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, content)


def test_a_nul_in_json_is_refused_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1: 'prompt' holds a NUL character"):
        read(tmp_path, json.dumps(LINE | {"prompt": "a\0"}), "t.jsonl")


separators = st.sampled_from("\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e\r")


@given(st.lists(st.text(separators | st.sampled_from("ab "), min_size=1), min_size=1, max_size=5))
def test_json_lines_end_at_line_feeds_alone(tmp_path: Path, texts: list[str]) -> None:
    objects = [LINE | {"prompt": f"a{text}", "response": f"b{text}"} for text in texts]
    content = "\n".join(json.dumps(fields, ensure_ascii=False) for fields in objects)
    assert read(tmp_path, content, "t.jsonl")[0] == objects


names = st.sampled_from(
    [str, str.upper, str.title, lambda name: f" {name}\t", lambda n: f"{MARK}{n}"]
)
cells = st.text(st.sampled_from('aB,;\t"é漢\n'), min_size=1, max_size=5).map(
    lambda text: f"-{text}"
)
rows = st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=6)


@given(rows, st.tuples(names, names, names), st.data())
def test_what_programs_add_to_a_table_changes_no_row(
    tmp_path: Path,
    rows: list[tuple[str, str, str]],
    form: tuple[Callable[[str], str], ...],
    data: st.DataObject,
) -> None:
    """Headers in any form, empty rows anywhere, the header again, marks at the start of lines."""
    header = [own(name) for own, name in zip(form, COLUMNS, strict=True)]
    added = [("", "", ""), (" ", "", "\u200b"), tuple(header), ("", "", "", "")]
    lines: list[tuple[str, ...]] = [*rows]
    for row in data.draw(st.lists(st.sampled_from(added), max_size=4)):
        lines.insert(data.draw(st.integers(0, len(lines))), row)
    with (tmp_path / "t.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    text = (tmp_path / "t.csv").read_bytes().decode()
    assert read(tmp_path, text)[0] == [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def test_the_manifest_says_what_was_taken_as_meant(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "shifted").mkdir(parents=True)
    lines = [f"ask {n},say {n},{('safe', 'harm')[n % 2]}" for n in range(40)]
    (folder / "t.csv").write_text("Prompt,response,concept\n" + "\n".join(lines) + "\n,,\n,,\n")
    others = [{"prompt": f"other {n}", "response": "x", "concept": "harm"} for n in range(4)]
    (folder / "shifted" / "s.jsonl").write_text(
        "\n".join(json.dumps(fields) for fields in others) + f"\n{json.dumps(dict.fromkeys(LINE))}"
    )
    params = csv_corpora(
        folder=str(folder), label="concept", safe=("safe",), validation=0.2, test=0.3
    )
    corpus = read_tables(params, 0)
    write_manifest(tmp_path / "manifest.json", corpus, {})
    assert Counter(read_json(tmp_path / "manifest.json")["as_meant"]) == {
        "columns_in_another_form": 1, "empty_rows": 2, "shifted_empty_rows": 1,
    }  # fmt: skip
