"""Another labelled corpus is only ever scored: what is kept of it, and what the first one keeps."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.concepts import concepts_of
from pipeline.core.console import InputError
from pipeline.core.files import read_json
from pipeline.core.records import Document
from pipeline.core.sections import CsvCorpora
from pipeline.core.text_identity import normalised
from pipeline.corpora.corpus import Corpus, check_corpus, write_manifest
from pipeline.corpora.corpus_tables import summary
from pipeline.corpora.folder_corpus import read_tables
from pipeline.corpora.labelled_corpus import Rules, labelled_corpus
from pipeline.corpora.recipes import LABELLED_RECIPES
from pipeline.corpora.rows import CAREFUL_ANSWER, Row
from pipeline.corpora.shifted import beside
from tests.support.own_texts import csv_corpora


def row(prompt: str, label: str, response: str = "say") -> Row:
    return Row(prompt, response, "", label, "t")


def first(safe: tuple[str, ...] = ("safe",), documents: tuple[Document, ...] = ()) -> Corpus:
    rows = [row(f"ask {n}", ("safe", "harm")[n % 2]) for n in range(40)]
    return labelled_corpus(rows, Rules(safe, 0.2, 0.3, 0), "free", documents=documents or None)


def is_safe(label: str) -> bool:
    return label in ("safe", "benign")


def test_its_rows_are_shifted_texts_and_the_first_corpus_stays_as_it_was() -> None:
    corpus = first()
    whole = beside(corpus, [row("other", "harm"), row("else", "benign")], is_safe)
    assert whole.labelled == (*corpus.examples, *whole.shifted)
    assert [(e.prompt, e.concept, e.split) for e in whole.shifted] == [
        ("other", "harm", "shifted"),
        ("else", "benign", "shifted"),
    ]
    assert [e.safe_response for e in whole.shifted] == [CAREFUL_ANSWER, "say"]
    for name in ("examples", "described", "documents", "requests", "licence"):
        assert getattr(whole, name) == getattr(corpus, name)
    assert whole.safe == ("safe", "benign")
    check_corpus(whole)


def test_what_is_dropped_is_counted_by_reason() -> None:
    """A prompt that the first corpus holds, whatever its answer; repeats; contradictions."""
    rows = [row(" ASK 3 ", "harm", "else"), row("p", "harm"), row("p", "harm"),
            row("q", "safe"), row("q", "harm")]  # fmt: skip
    whole = beside(first(), rows, is_safe)
    assert [e.prompt for e in whole.shifted] == ["p"]
    assert whole.dropped == {
        "contradicting_labels": 0, "duplicates": 0, "shifted_contradicting_labels": 2,
        "shifted_duplicates": 1, "shifted_prompts_known": 1,
    }  # fmt: skip


some_rows = st.lists(
    st.builds(row, st.sampled_from(["ask 1", "ask 2", *"pqrs"]), st.sampled_from(["harm", "new"]),
              st.sampled_from("xy")),
    max_size=30,
)  # fmt: skip


@given(some_rows, st.booleans(), st.integers(0, 2))
def test_every_row_is_kept_or_counted_and_no_prompt_is_in_both(
    some: list[Row], vote: bool, per_concept: int
) -> None:
    corpus = first()
    sure = row("of its own", "harm")
    whole = beside(corpus, [*some, sure], is_safe, vote=vote, per_concept=per_concept)
    added = whole.shifted
    dropped = sum(n for reason, n in whole.dropped.items() if reason.startswith("shifted_"))
    assert len(added) + dropped == len(some) + 1
    known = {normalised(e.prompt) for e in corpus.examples}
    assert known.isdisjoint(normalised(e.prompt) for e in added)
    if per_concept:
        assert max(Counter(e.concept for e in added).values()) <= per_concept
    check_corpus(whole)


def test_its_prompts_are_not_read_as_documents() -> None:
    documents = (
        Document("a", " OTHER ", "r", "pretrain"),
        Document("b", "fine", "r", "pretrain"),
        Document("c", "ask 3", "r", "pretrain"),
    )
    corpus = first(documents=documents)
    held_out = corpus.dropped["documents_held_out"]
    whole = beside(corpus, [row("other", "harm")], is_safe)
    assert {d.id for d in whole.documents} == {d.id for d in corpus.documents} - {"a"}
    assert whole.dropped["documents_held_out"] == held_out + 1


def test_a_corpus_of_nothing_new_or_nothing_to_ask_is_refused() -> None:
    with pytest.raises(InputError, match="no text whose prompt the first one does not hold"):
        beside(first(), [row("ask 1", "harm")], is_safe)
    with pytest.raises(InputError, match="nothing could be asked of it"):
        beside(first(safe=()), [row("other", "new")], is_safe)
    whole = beside(first(safe=()), [row("other", "benign"), row("more", "harm")], is_safe)
    assert whole.safe == ()


def test_concepts_of_its_own_are_neither_learned_nor_demanded(tmp_path: Path) -> None:
    """They need no training text, and count for harm alone."""
    whole = beside(first(), [row("other", "new"), row("else", "harm")], is_safe)
    check_corpus(whole)
    assert concepts_of(whole.examples) == ["harm", "safe"]
    shares = {"pairs": 0, "compared": 9, "share_of_test": 0.0, "share_of_shifted": 0.25}
    write_manifest(tmp_path / "manifest.json", whole, {**shares, "examples": []})
    manifest = read_json(tmp_path / "manifest.json")
    assert manifest["concepts"] == ["harm", "safe"]
    assert manifest["harm_only"] == ["new"]
    assert manifest["rows"]["new"] == {"shifted": 1}
    said = summary(manifest)
    assert said["Concepts of shifted texts alone, asked only whether they are harmful"] == "new"
    assert "25.0% of shifted ones" in said["Near-duplicates across splits"]


def test_concepts_of_both_that_are_said_alike_are_refused() -> None:
    rows = [row(f"ask {n}", ("safe", "do_harm")[n % 2]) for n in range(40)]
    corpus = labelled_corpus(rows, Rules(("safe",), 0.2, 0.3, 0), "free")
    with pytest.raises(InputError, match="said alike"):
        check_corpus(beside(corpus, [row("other", "do-harm")], is_safe))


def test_a_concept_of_both_has_the_first_corpus_form_and_keeps_its_harmlessness() -> None:
    whole = beside(first(), [row("other", "Harm"), row("else", "s\u200bafe")], is_safe)
    assert [(e.prompt, e.concept) for e in whole.shifted] == [("other", "harm"), ("else", "safe")]
    assert whole.safe == ("safe",)
    assert whole.as_meant["shifted_labels_in_another_form"] == 2


# A folder of tables


@pytest.fixture
def folder(tmp_path: Path) -> CsvCorpora:
    (tmp_path / "shifted").mkdir()
    rows = [
        {"prompt": f"ask {n}", "response": "say", "concept": ("safe", "harm")[n % 2]}
        for n in range(60)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    return csv_corpora(
        folder=str(tmp_path), label="concept", safe=("safe",), validation=0.2, test=0.3
    )


def put(params: CsvCorpora, *labels: str) -> CsvCorpora:
    rows = [{"prompt": f"o {n}", "response": "r", "concept": name} for n, name in enumerate(labels)]
    pd.DataFrame(rows).to_csv(Path(params.folder) / "shifted" / "t.csv", index=False)
    return params


def test_tables_of_the_subfolder_are_shifted(folder: CsvCorpora) -> None:
    whole = read_tables(put(folder, "harm", "benign", "theft"), 0)
    (Path(folder.folder) / "shifted" / "t.csv").unlink()
    (Path(folder.folder) / "shifted").rmdir()
    alone = read_tables(folder, 0)
    assert whole.examples == alone.examples
    assert [e.split for e in whole.shifted] == 3 * ["shifted"]
    assert alone.shifted == ()
    assert set(whole.sources) == {"t.csv", "shifted/t.csv"}
    assert whole.sources["t.csv"] != whole.sources["shifted/t.csv"]
    assert whole.requests == alone.requests


def test_harmless_labels_of_either_corpus_are_known(folder: CsvCorpora) -> None:
    both = folder.model_copy(update={"safe": ("safe", "benign")})
    assert read_tables(put(both, "harm", "benign"), 0).safe == ("safe", "benign")
    with pytest.raises(InputError, match="names 'benign', which no row is labelled with"):
        read_tables(put(both, "harm"), 0)


def test_a_slip_in_its_labels_is_one_line(folder: CsvCorpora) -> None:
    with pytest.raises(InputError, match="did you mean 'harm'"):
        read_tables(put(folder, "harm", "hrm"), 0)


def test_a_subfolder_without_tables_is_refused(folder: CsvCorpora) -> None:
    with pytest.raises(InputError, match=r"shifted holds no \.csv file"):
        read_tables(folder, 0)


# Recipes


def test_recipes_know_what_is_harmless() -> None:
    """Of a corpus of harms alone nothing is; of one that knows no harm, everything."""
    assert LABELLED_RECIPES["beavertails_binary"].harmless("safe")
    assert not LABELLED_RECIPES["beavertails_binary"].harmless("unsafe")
    assert LABELLED_RECIPES["wildguard"].harmless("unharmful")
    assert not LABELLED_RECIPES["salad"].harmless("Malicious Use")
    assert LABELLED_RECIPES["math"].harmless("algebra")
