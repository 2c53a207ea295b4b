"""Tables of labelled texts: what is kept, what is dropped and counted, and what splits promise."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.console import InputError
from pipeline.corpora import CAREFUL_ANSWER, Corpus, check_corpus, normalised, read_tables
from pipeline.params import CsvCorpora
from pipeline.records import Example
from tests.dag import ROOT

Write = Callable[[list[dict[str, str]]], CsvCorpora]


@pytest.fixture
def table(tmp_path: Path) -> Write:
    def write(rows: list[dict[str, str]]) -> CsvCorpora:
        pd.DataFrame(rows).to_csv(tmp_path / "texts.csv", index=False)
        return CsvCorpora(
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
        params = CsvCorpora(folder=str(folder), label="concept", safe=(), validation=0.2, test=0.3)
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


def test_no_label_means_no_request(table: Write) -> None:
    params = table(rows()).model_copy(update={"safe": ()})
    assert read_tables(params, 0).requests == ()


def test_held_out_documents_are_never_trained_on(table: Write) -> None:
    corpus = read_tables(table(rows(100)), 0)
    train = {e.prompt for e in corpus.examples if e.split == "train"}
    for document in corpus.documents:
        assert (document.split == "pretrain") == (document.prompt in train)
    assert {e.prompt for e in corpus.described} == train


def text(prompt: str, concept: str, split: str) -> Example:
    return Example(f"{split}-{prompt}", prompt, "r", "s", concept, split, "t")


def corpus_of(*examples: Example) -> Corpus:
    return Corpus(examples, (), (), (), (), {}, "")


def whole_corpus() -> list[Example]:
    return [
        text(f"{concept} {split} {n}", concept, split)
        for concept in "ab" for split in ("train", "validation", "test") for n in range(2)
    ]  # fmt: skip


def test_a_whole_corpus_passes() -> None:
    check_corpus(corpus_of(*whole_corpus()))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda es: [*es, text("A  TRAIN 0", "a", "test")], "stands in train and in test"),
        (lambda es: [e for e in es if e.concept == "a"], "1 concept"),
        (lambda es: [e for e in es if e.prompt != "b train 0"], "'b' has 1 train text"),
        (
            lambda es: [e for e in es if (e.concept, e.split) != ("b", "test")],
            "'b' has 0 test text",
        ),
    ],
)
def test_a_corpus_that_no_result_could_be_trusted_on_is_refused(
    spoil: Callable[[list[Example]], list[Example]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_corpus(corpus_of(*spoil(whole_corpus())))


@pytest.mark.parametrize(
    ("name", "label", "safe", "texts"),
    [("safety_multi", "value", ("safe",), 1073), ("knowledge", "value", (), 700)],
)
def test_real_tables(name: str, label: str, safe: tuple[str, ...], texts: int) -> None:
    folder = ROOT.parent / "shared/data" / name
    if not folder.is_dir():
        pytest.skip("the real corpora lie beside the project only where it is developed")
    params = CsvCorpora(folder=str(folder), label=label, safe=safe, validation=0.1, test=0.3)
    corpus = read_tables(params, seed=0)
    check_corpus(corpus)
    contradicting = corpus.dropped["contradicting_labels"]
    assert len(corpus.examples) + sum(corpus.dropped.values()) in (1200, 700)
    assert texts - contradicting <= len(corpus.examples) <= texts


def test_the_example_folder_is_a_corpus() -> None:
    params = CsvCorpora(
        folder=str(ROOT / "examples/corpus"), label="concept", safe=(), validation=0.1, test=0.3
    )
    check_corpus(read_tables(params, seed=0))
