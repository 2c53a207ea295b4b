"""A folder of tables: its texts, its splits, its labels.

Longer than other files, as every mistake in a folder has a case here.
"""

import hashlib
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.concepts import requests_of
from pipeline.core.console import InputError
from pipeline.core.records import Example, Request, Split
from pipeline.core.sections import CsvCorpora
from pipeline.core.text_identity import normalised
from pipeline.corpora.corpus import check_corpus
from pipeline.corpora.folder_corpus import FEWEST_ROWS, read_tables, spelt_like
from pipeline.corpora.rows import CAREFUL_ANSWER
from tests.support.dag import ROOT
from tests.support.own_texts import csv_corpora

Write = Callable[[list[dict[str, str]]], CsvCorpora]


@pytest.fixture
def table(tmp_path: Path) -> Write:
    def write(rows: list[dict[str, str]]) -> CsvCorpora:
        pd.DataFrame(rows).to_csv(tmp_path / "texts.csv", index=False)
        return csv_corpora(
            folder=str(tmp_path), label="concept", safe=("safe",), validation=0.2, test=0.3
        )

    return write


def rows(count: int = 30) -> list[dict[str, str]]:
    return [
        {"prompt": f"ask {n}", "response": f"say {n}", "concept": ("safe", "harm")[n % 2]}
        for n in range(count)
    ]


def test_every_row_becomes_a_text(table: Write) -> None:
    corpus = read_tables(table(rows()), seed=0)
    assert {e.prompt for e in corpus.examples} == {row["prompt"] for row in rows()}
    assert len({e.id for e in corpus.examples}) == 30
    assert corpus.dropped == {"contradicting_labels": 0, "duplicates": 0}


def test_repeats_are_dropped_and_counted(table: Write) -> None:
    again = {"prompt": "  ASK 3 ", "response": "say  3", "concept": "harm"}
    corpus = read_tables(table([*rows(), again, again]), seed=0)
    assert len(corpus.examples) == 30
    assert corpus.dropped == {"contradicting_labels": 0, "duplicates": 2}


def test_texts_under_two_labels_are_dropped_whole(table: Write) -> None:
    against = {"prompt": "ask 3", "response": "say 3", "concept": "safe"}
    corpus = read_tables(table([*rows(), against]), seed=0)
    assert "ask 3" not in {e.prompt for e in corpus.examples}
    assert corpus.dropped == {"contradicting_labels": 2, "duplicates": 0}


def test_one_prompt_one_split(table: Write) -> None:
    answers = [row | {"response": f"{row['response']} {n}"} for row in rows(60) for n in range(4)]
    corpus = read_tables(table(answers), seed=0)
    homes: dict[str, set[str]] = {}
    for example in corpus.examples:
        homes.setdefault(normalised(example.prompt), set()).add(example.split)
    assert all(len(splits) == 1 for splits in homes.values())
    assert {split for splits in homes.values() for split in splits} == {
        "train",
        "validation",
        "test",
    }


@given(st.integers(1, 29))
def test_a_text_stays_in_its_split_whatever_else_is_there(
    tmp_path_factory: pytest.TempPathFactory, kept: int
) -> None:
    def splits(some: list[dict[str, str]]) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("c")
        pd.DataFrame(some).to_csv(folder / "t.csv", index=False)
        params = csv_corpora(folder=str(folder), label="concept", safe=(), validation=0.2, test=0.3)
        return {e.prompt: e.split for e in read_tables(params, seed=0).examples}

    everything, some = splits(rows()), splits(rows()[:kept])
    assert some.items() <= everything.items()


def test_the_order_of_rows_and_files_decides_nothing_about_splits(table: Write) -> None:
    one = {e.id: e.split for e in read_tables(table(rows()), 0).examples}
    other = {e.id: e.split for e in read_tables(table(rows()[::-1]), 0).examples}
    assert one == other
    assert one != {e.id: e.split for e in read_tables(table(rows()), 1).examples}


def test_shares_are_about_what_is_asked(table: Write) -> None:
    examples = read_tables(table(rows(2000)), seed=0).examples
    share = sum(e.split == "test" for e in examples) / len(examples)
    assert share == pytest.approx(0.3, abs=0.03)


def test_none_and_na_are_texts(table: Write) -> None:
    odd = [{"prompt": "None", "response": "NA", "concept": "safe"}]
    assert "None" in {e.prompt for e in read_tables(table([*rows(), *odd]), 0).examples}


def test_careful_answers(table: Write) -> None:
    given_one = [
        row | {"safe_response": "Better not." if row["concept"] == "harm" else ""} for row in rows()
    ]
    for example in read_tables(table(given_one), 0).examples:
        expected = "Better not." if example.concept == "harm" else example.response
        assert example.safe_response == expected
    for example in read_tables(table(rows()), 0).examples:
        expected = CAREFUL_ANSWER if example.concept == "harm" else example.response
        assert example.safe_response == expected


def test_requests_are_test_prompts_of_one_kind(table: Write) -> None:
    both = [{"prompt": "ask 3", "response": "kindly", "concept": "safe"}]
    corpus = read_tables(table([*rows(200), *both]), 0)
    tested = {e.prompt for e in corpus.examples if e.split == "test"}
    assert {r.prompt for r in corpus.requests} == tested - {"ask 3"}
    assert {r.harmful for r in corpus.requests} == {True, False}


@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_prompt_with_several_answers_is_asked_once_or_not_at_all(split: Split) -> None:
    def text(name: str, prompt: str, concept: str, split: Split = split) -> Example:
        return Example(name, prompt, name, name, concept, split, "")

    examples = [
        text("a", "Mend it?", "safe"), text("b", "mend  it?", "harm"),
        text("c", "Burn it?", "harm"), text("d", "burn it?", "theft"),
        text("e", "Wash it?", "safe"), text("f", "Wash it?", "safe"),
        text("g", "Sell it?", "safe", "train"),
    ]  # fmt: skip
    assert requests_of(examples, ["safe"], split) == [
        Request("c", "Burn it?", True, False, split), Request("e", "Wash it?", False, False, split),
    ]  # fmt: skip
    assert requests_of(examples, [], split) == []


def test_no_label_means_no_request(table: Write) -> None:
    params = table(rows()).model_copy(update={"safe": ()})
    assert read_tables(params, 0).requests == ()


def test_held_out_documents_are_never_trained_on(table: Write) -> None:
    corpus = read_tables(table(rows(100)), 0)
    train = {e.prompt for e in corpus.examples if e.split == "train"}
    for document in corpus.documents:
        assert (document.split == "pretrain") == (document.prompt in train)
    assert {e.prompt for e in corpus.described} == train


def test_a_folder_may_mix_every_kind_of_table(tmp_path: Path) -> None:
    """And each file is named in the sources with its digest."""
    parts = [rows(90)[start::3] for start in range(3)]
    for part, name, delimiter in zip(parts, ("a.csv", "b.TSV", "c.csv"), ",\t;", strict=True):
        pd.DataFrame(part).to_csv(tmp_path / name, index=False, sep=delimiter)
    more = {"prompt": "more", "response": "of it", "concept": "harm", "safe_response": "no"}
    (tmp_path / "d.jsonl").write_text(json.dumps(more) + "\n", encoding="utf-8")
    params = csv_corpora(
        folder=str(tmp_path), label="concept", safe=("safe",), validation=0.2, test=0.3
    )
    corpus = read_tables(params, 0)
    assert {e.prompt for e in corpus.examples} == {f"ask {n}" for n in range(90)} | {"more"}
    assert {e.source for e in corpus.examples} == {"a", "b", "c", "d"}
    assert {name: source["sha256"] for name, source in corpus.sources.items()} == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()
    }


@given(st.binary(max_size=80), st.sampled_from(["csv", "jsonl"]))
def test_any_bytes_are_a_corpus_or_one_line(tmp_path: Path, content: bytes, kind: str) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    start = b"prompt,response,concept\n" if kind == "csv" else b""
    (tmp_path / f"t.{kind}").write_bytes(start + content)
    params = csv_corpora(folder=str(tmp_path), label="concept", safe=(), validation=0.2, test=0.3)
    try:
        said = ""
        read_tables(params, 0)
    except InputError as mistake:
        said = str(mistake)
    assert len(said.splitlines()) <= 1


@pytest.mark.parametrize(
    ("label", "meant"),
    [("hrm", "harm"), ("harmm", "harm"), ("saef", "safe"), ("sfae", "safe")],
)
def test_a_rare_label_that_is_nearly_another_is_taken_for_a_slip(
    table: Write, label: str, meant: str
) -> None:
    slip = {"prompt": "ask me", "response": "say me", "concept": label}
    with pytest.raises(InputError, match=rf"csv row 31 is labelled '{label}'.* mean '{meant}'\?"):
        read_tables(table([*rows(), slip, *rows(4)]), 0)


@pytest.mark.parametrize(("label", "times"), [("odd", 1), ("rare", 1), ("hrm", FEWEST_ROWS)])
def test_other_labels_are_meant(table: Write, label: str, times: int) -> None:
    """Unlike every known one, or on as many rows as a concept needs."""
    others = [{"prompt": f"o {n}", "response": "b", "concept": label} for n in range(times)]
    assert label in {e.concept for e in read_tables(table([*rows(), *others]), 0).examples}


@given(
    st.text(st.characters(categories=["Ll"], max_codepoint=127), min_size=5, max_size=20),
    st.integers(0, 19),
    st.sampled_from(["drop", "double", "change", "case"]),
)
def test_one_wrong_letter_is_recognised(label: str, where: int, slip: str) -> None:
    where %= len(label)
    letter = {"drop": "", "double": label[where] * 2, "change": "7", "case": label[where].upper()}
    wrong = label[:where] + letter[slip] + label[where + 1 :]
    assert spelt_like(wrong, [label, "0123456789"]) == label


@pytest.mark.parametrize(
    ("safe", "said"),
    [
        (("Saef",), "names 'Saef', which no row is labelled with; did you mean 'safe'?"),
        (("safe", "hamr"), "names 'hamr', which no row is labelled with; did you mean 'harm'?"),
        (("fine",), "names 'fine', which no row is labelled with"),
        (("harm", "safe"), "names every label"),
    ],
)
def test_safe_names_labels_that_are_there(table: Write, safe: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError) as mistake:
        read_tables(table(rows()).model_copy(update={"safe": safe}), 0)
    assert str(mistake.value).startswith(f"corpora.csv.safe {said}")
    assert ("did you mean" in str(mistake.value)) == ("did you mean" in said)


@pytest.mark.parametrize(
    ("name", "label", "safe", "texts"),
    [("safety_multi", "value", ("safe",), 1073), ("knowledge", "value", (), 700)],
)
def test_real_tables(name: str, label: str, safe: tuple[str, ...], texts: int) -> None:
    folder = ROOT.parent / "shared/data" / name
    if not folder.is_dir():
        pytest.skip("the real corpora lie beside the project only where it is developed")
    params = csv_corpora(folder=str(folder), label=label, safe=safe, validation=0.1, test=0.3)
    corpus = read_tables(params, seed=0)
    check_corpus(corpus)
    contradicting = corpus.dropped["contradicting_labels"]
    assert len(corpus.examples) + sum(corpus.dropped.values()) in (1200, 700)
    assert texts - contradicting <= len(corpus.examples) <= texts


def test_the_example_folder_is_a_corpus() -> None:
    params = csv_corpora(
        folder=str(ROOT / "examples/corpus"), label="concept", safe=(), validation=0.1, test=0.3
    )
    check_corpus(read_tables(params, seed=0))


@given(st.lists(st.sampled_from(["NFC", "NFD", "mark", "case"]), min_size=30, max_size=30))
def test_one_text_in_several_forms_is_one_text_of_one_split_and_its_labels_are_one(
    tmp_path_factory: pytest.TempPathFactory, forms: list[str]
) -> None:
    """Composed and decomposed, with a zero-width mark, in capitals."""

    def written(text: str, form: str) -> str:
        if form in ("mark", "case"):
            return f"\u200b{text}" if form == "mark" else text.upper()
        return unicodedata.normalize(form, text)  # type: ignore[arg-type]

    labels = ("sûr", "nuisible")
    first = [
        {"prompt": f"Où est le café {n} ?", "response": f"à {n}", "concept": labels[n % 2]}
        for n in range(30)
    ]
    again = [
        {name: written(cell, form) for name, cell in row.items()}
        for row, form in zip(first, forms, strict=True)
    ]
    folder = tmp_path_factory.mktemp("forms")
    pd.DataFrame(first + again).to_csv(folder / "t.csv", index=False)
    params = csv_corpora(
        folder=str(folder), label="concept", safe=("su\u0302r",), validation=0.2, test=0.3
    )
    corpus = read_tables(params, seed=0)
    assert corpus.dropped == {"contradicting_labels": 0, "duplicates": 30}
    assert {e.prompt for e in corpus.examples} == {row["prompt"] for row in first}  # as it is
    assert corpus.safe == ("su\u0302r",)
    assert {e.concept for e in corpus.examples} == {"su\u0302r", "nuisible"}
    assert {
        e.safe_response == CAREFUL_ANSWER for e in corpus.examples if e.concept in corpus.safe
    } == {False}


def test_contradictions_are_seen_through_the_forms_of_a_text(table: Write) -> None:
    against = {"prompt": "a\u200bsk 3", "response": "SAY 3", "concept": "safe"}
    corpus = read_tables(table([*rows(), against]), seed=0)
    assert corpus.dropped == {"contradicting_labels": 2, "duplicates": 0}
    assert corpus.as_meant == {"labels_in_another_form": 0}
