"""Files are whole or as they were, records come back as they went, mistakes are one line."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.concepts import balanced, spoken
from pipeline.core.console import InputError, fail, variant_name
from pipeline.core.files import read_json, whole, write_json, write_table
from pipeline.core.records import Example, Interpretation, Verdict, read_records, write_records
from tests.support.dag import ROOT


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_failure_leaves_what_was_there(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"

    def write(path: Path, text: str) -> None:
        if kind == "folder":
            path.mkdir()
        (path / "x" if kind == "folder" else path).write_text(text, encoding="utf-8")

    def read() -> str:
        return (path / "x" if kind == "folder" else path).read_text(encoding="utf-8")

    with whole(path) as draft:
        write(draft, "first")
    with pytest.raises(KeyboardInterrupt), whole(path) as draft:  # noqa: PT012 - half a file
        write(draft, "half")
        raise KeyboardInterrupt
    assert read() == "first"
    with whole(path) as draft:
        write(draft, "second")
    assert read() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_json_is_sorted_and_rounded(tmp_path: Path) -> None:
    write_json(tmp_path / "m.json", {"b": 1 / 3, "a": {"n": 3, "s": "x"}})
    assert (tmp_path / "m.json").read_text(encoding="utf-8") == (
        '{\n  "a": {\n    "n": 3,\n    "s": "x"\n  },\n  "b": 0.333333\n}\n'
    )
    assert read_json(tmp_path / "m.json")["b"] == 0.333333


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_metric_that_is_no_number_is_named(tmp_path: Path, bad: float) -> None:
    write_json(tmp_path / "m.json", {"a": 1})
    with pytest.raises(ValueError, match=r"x\.y is (nan|inf)"):
        write_json(tmp_path / "m.json", {"x": {"y": bad}})
    assert read_json(tmp_path / "m.json") == {"a": 1}


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def test_a_table_has_a_column_a_key_and_no_more_digits_than_say_something(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", [{"bin": 0.1, "texts": 3, "of": "a, b"}] * 2)
    lines = (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()
    assert lines == ["bin,texts,of", '0.1,3,"a, b"', '0.1,3,"a, b"']
    write_table(tmp_path / "t.csv", [{"share": 1 / 3}])
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == "share\n0.333333\n"
    write_table(tmp_path / "t.csv", [])
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == ""


@given(
    st.lists(st.builds(Example, TEXT, TEXT, TEXT, TEXT, TEXT, st.just("train"), TEXT), max_size=4)
)
def test_examples_come_back(tmp_path: Path, examples: list[Example]) -> None:
    write_records(tmp_path / "e.jsonl", examples)
    assert read_records(tmp_path / "e.jsonl", Example) == examples


def test_tuples_come_back_rounded(tmp_path: Path) -> None:
    record = Interpretation("e", "c", "test", 1, "last", "state", "t", ("a", "b"), (1 / 3, 0.5))
    write_records(tmp_path / "i.jsonl", [record])
    (found,) = read_records(tmp_path / "i.jsonl", Interpretation)
    assert found.tokens == ("a", "b")
    assert found.relevancy == (0.333333, 0.5)


@pytest.mark.parametrize("line", ["", "{", "[]", '{"request": "r"}', '{"a": 1}'])
def test_a_broken_record_is_named(tmp_path: Path, line: str) -> None:
    write_records(tmp_path / "v.jsonl", [Verdict("r", 0, "rule", True, True, None)])
    with (tmp_path / "v.jsonl").open("a", encoding="utf-8") as out:
        out.write(line + "\n")
    with pytest.raises(InputError, match=r"v\.jsonl line 2 is no Verdict; run the stage"):
        read_records(tmp_path / "v.jsonl", Verdict)


def test_evenly_takes_turns() -> None:
    texts = [Example(str(n), "", "", "", concept, "test", "") for n, concept in enumerate("aaabc")]
    assert [e.concept for e in balanced(texts, 4)] == ["a", "b", "c", "a"]
    assert len(balanced(texts, 99)) == 5
    assert balanced(texts, 0) == []


def test_labels_are_said_as_words() -> None:
    assert spoken("non_violent-crime") == "non violent crime"


def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail("a\n  b") == 2
    assert capsys.readouterr().err == "error: a b\n"


def test_the_variant_comes_from_dvc_or_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["adapters"])
    monkeypatch.setenv("DVC_STAGE", "adapters@sup-con")
    assert variant_name() == "sup-con"
    monkeypatch.setattr(sys, "argv", ["adapters", "base"])
    assert variant_name() == "base"
    monkeypatch.setattr(sys, "argv", ["adapters"])
    monkeypatch.delenv("DVC_STAGE")
    with pytest.raises(InputError, match="which variant"):
        variant_name()


@pytest.mark.parametrize("variant", ["nobody", "../base", ""])
def test_an_unknown_variant_is_one_line(variant: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stages.adapters", *([variant] if variant else [])],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
