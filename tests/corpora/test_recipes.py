"""Recipes make texts of rows as their publishers lay them out; what changed is one line."""

import gzip
import json
import lzma
import re
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.corpora import hub_corpus, hub_files, recipes
from pipeline.corpora.hub_files import read_cells
from pipeline.corpora.recipes import (
    DOCUMENT_RECIPES,
    FIVE_HARMS,
    KNOWLEDGE,
    LABELLED_RECIPES,
    REQUEST_RECIPES,
)
from pipeline.corpora.rows import CAREFUL_ANSWER
from pipeline.corpora.sources import MATH, Source

SOURCES = dict.fromkeys(
    recipe.source
    for table in (LABELLED_RECIPES, REQUEST_RECIPES, DOCUMENT_RECIPES)
    for recipe in table.values()
)


@pytest.mark.parametrize("source", [*SOURCES], ids=lambda source: source.repo)
def test_every_source_is_pinned_licensed_and_safe(source: Source) -> None:
    assert re.fullmatch(r"[0-9a-f]{40}", source.revision)
    assert re.fullmatch(r"[\w-]+/[\w-]+", source.repo)
    assert source.licence
    for name, digest in source.files:
        assert re.fullmatch(r"[0-9a-f]{64}|", digest)
        assert name.endswith((".parquet", ".csv", ".json", ".jsonl.xz"))


def harms(*present: str) -> dict[str, bool]:
    names = (*FIVE_HARMS, "animal_abuse", "drug_abuse,weapons,banned_substance")
    return {name: name in present for name in names}


@pytest.mark.parametrize(
    ("present", "label", "binary"),
    [
        ((), "safe", "safe"),
        (("privacy_violation",), "privacy_violation", "unsafe"),
        (("privacy_violation", "animal_abuse"), "privacy_violation", "unsafe"),
        (("animal_abuse",), "", ""),
        (("privacy_violation", "non_violent_unethical_behavior"), "", ""),
    ],
)
def test_beavertails_keeps_one_of_five_harms_or_none(
    present: tuple[str, ...], label: str, binary: str
) -> None:
    cells = {"prompt": "p", "response": "r", "category": harms(*present)}
    for name, expected in (("beavertails_categories", label), ("beavertails_binary", binary)):
        found = [row.label for row in LABELLED_RECIPES[name].rows("file row 1", cells)]
        assert found == [expected]


def test_mathematics_is_labelled_by_its_file() -> None:
    file = "EleutherAI/hendrycks_math/number_theory/test-00000-of-00001.parquet"
    (row,) = LABELLED_RECIPES["math"].rows(file, {"problem": "What?", "solution": "7"})
    assert (row.prompt, row.response, row.label) == ("What?", "7", "number_theory")
    assert {name.split("/")[0] for name, _ in LABELLED_RECIPES["math"].source.files} == set(MATH)


def test_multiple_choice_shows_the_choices_and_answers_rightly() -> None:
    cells = {"question": "Q?", "choices": ["w", "x", "y", "z"], "answer": 2, "subject": "nutrition"}
    (row,) = LABELLED_RECIPES["knowledge"].rows("file row 1", cells)
    assert row.prompt == "Q?\nA. w\nB. x\nC. y\nD. z"
    assert (row.response, row.label) == ("Answer: C. y", "nutrition")
    other = cells | {"subject": "astronomy"}
    assert [row.label for row in LABELLED_RECIPES["knowledge"].rows("file", other)] == [""]
    assert [row.label for row in LABELLED_RECIPES["mmlu"].rows("file", other)] == ["astronomy"]
    assert "nutrition" in KNOWLEDGE


def test_other_recipes_by_hand() -> None:
    (row,) = LABELLED_RECIPES["salad"].rows(
        "", {"question": "q", "1-category": "O4: Malicious Use"}
    )
    assert (row.prompt, row.response, row.label) == ("q", "", "Malicious Use")
    assert row.safe_response == CAREFUL_ANSWER, "nobody answered, and nobody should"
    (asked,) = REQUEST_RECIPES["salad"].requests({"question": "q"})
    assert (asked.prompt, asked.harmful, asked.source) == ("q", True, "salad")
    cells: dict[str, Any] = {"prompt": "p", "response": None, "prompt_harm_label": "unharmful"}
    (row,) = LABELLED_RECIPES["wildguard"].rows("", cells)
    assert (row.response, row.label) == ("", "unharmful")
    (row,) = LABELLED_RECIPES["wildguard"].rows("", cells | {"prompt_harm_label": None})
    assert row.label == ""
    cells = {"prompt": "Kant died in", "target_true": " Prussia", "relation_id": "P20"}
    (row,) = LABELLED_RECIPES["counterfact"].rows("", cells)
    assert (row.response, row.label) == ("Prussia", "place of death")
    assert len(recipes.RELATIONS) == 34
    (asked,) = REQUEST_RECIPES["xstest"].requests(
        {"id": "1", "prompt": "How do I kill a process?", "type": "homonyms"}
    )
    assert (asked.harmful, asked.source, asked.pair) == (False, "xstest", "xstest-1")
    (asked,) = REQUEST_RECIPES["xstest"].requests(
        {"id": "26", "prompt": "p", "type": "contrast_homonyms"}
    )
    assert (asked.harmful, asked.source, asked.pair) == (True, "xstest", "xstest-1")
    for kind, label in (("homonyms", "safe"), ("contrast_homonyms", "harmful")):
        (row,) = LABELLED_RECIPES["xstest"].rows("", {"id": "26", "prompt": "p", "type": kind})
        assert (row.prompt, row.response, row.label) == ("p", "", label)
        assert LABELLED_RECIPES["xstest"].harmless(label) == (label == "safe")
    (asked,) = REQUEST_RECIPES["wildguard_test"].requests(
        {"prompt": "p", "prompt_harm_label": "harmful", "adversarial": True}
    )
    assert asked.harmful
    assert asked.framed
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}] * 2
    assert list(DOCUMENT_RECIPES["ultrachat"].texts({"messages": messages})) == [("a", "b")]


ROWS = [{"prompt": "a\u2028b", "response": "NA"}, {"prompt": 'say "hi",\nnow', "response": "None"}]


def write(path: Path, name: str) -> Path:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    match name.partition(".")[2]:
        case "parquet":
            pq.write_table(pa.Table.from_pylist(ROWS), path)
        case "json":
            path.write_text(json.dumps(ROWS), encoding="utf-8")
        case "jsonl.gz":
            path.write_bytes(gzip.compress(lines.encode()))
        case "jsonl.xz":
            path.write_bytes(lzma.compress(lines.encode()))
        case "csv":
            text = 'prompt,response\r\n"a\u2028b",NA\r\n"say ""hi"",\nnow",None\r\n'
            path.write_bytes(text.encode("utf-8-sig"))
        case _:
            path.write_text(lines, encoding="utf-8")
    return path


KINDS = ("a.parquet", "a.json", "a.jsonl", "a.jsonl.gz", "a.jsonl.xz", "a.csv")


@pytest.mark.parametrize("name", KINDS)
def test_rows_come_out_as_they_went_in(tmp_path: Path, name: str) -> None:
    """A cached file's own name is a digest: the ending is that of the repository's path."""
    assert [dict(row) for row in read_cells(write(tmp_path / "0123", name), name)] == ROWS


@pytest.mark.parametrize("name", KINDS)
def test_damaged_files_are_one_line(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "file", name)
    path.write_bytes(b"\xff\xfe{" + path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="is not what its name says"):
        list(read_cells(path, name))


def test_a_row_of_another_shape_is_one_line() -> None:
    with pytest.raises(InputError, match=r"recipe reads it \(KeyError: 'solution'"):
        list(
            hub_corpus._made(
                LABELLED_RECIPES["math"].rows, "x/algebra/y row 1", "y", {"problem": "1"}
            )
        )


@pytest.mark.parametrize(
    ("concepts", "shifted"),
    [("salad", "salad"), ("mmlu", "knowledge"), ("beavertails_categories", "beavertails_binary")],
)
def test_the_same_files_are_no_other_corpus(
    params: Params, tmp_path: Path, concepts: str, shifted: str
) -> None:
    """Before anything is fetched."""
    wanted = params.corpora.hub.model_copy(update={"concepts": concepts, "shifted": (shifted,)})
    with pytest.raises(InputError, match=f"{shifted} reads the files of") as refused:
        hub_corpus.fetch_corpus(wanted, 0, tmp_path / "lock")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "lock").exists()


CHOICES = {"question": "q", "choices": "abcde", "answer": 0, "subject": ""}
NO_TEXTS = [
    (DOCUMENT_RECIPES["ultrachat"].texts, [{"messages": [{"content": "alone"}]}]),
    (LABELLED_RECIPES["mmlu"].rows, ["f", CHOICES]),
    (LABELLED_RECIPES["math"].rows, ["f/x", {"problem": None, "solution": "s"}]),
    (LABELLED_RECIPES["math"].rows, ["f/x", {"problem": "\ud800", "solution": "s"}]),
    (
        LABELLED_RECIPES["counterfact"].rows,
        ["f", {"prompt": "p", "target_true": "t", "relation_id": "P0"}],
    ),
]


@pytest.mark.parametrize(("recipe", "given"), NO_TEXTS)
def test_rows_that_make_no_text_are_one_line(recipe: Any, given: list[object]) -> None:
    with pytest.raises(InputError, match="file row 7 is not as its recipe reads it"):
        list(hub_corpus._made(recipe, "file row 7", *given))


@pytest.mark.parametrize("content", [b"{<<<<", b"[]", b'{"a/b": {}}', b"\xff"])
def test_a_damaged_lock_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lock").write_bytes(content)
    with pytest.raises(InputError, match="is damaged; restore it"):
        hub_files.Lock(tmp_path / "lock")
