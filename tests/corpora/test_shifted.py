"""Another labelled corpus is only ever scored: what is kept of it, and what the first one keeps.

Longer than other files, as all of its laws share the same first corpus.
"""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.start.corpus_tables import summary
from pipeline.core.concepts import concepts_of
from pipeline.core.console import InputError
from pipeline.core.files import read_json
from pipeline.core.records import Document
from pipeline.core.scored_sets import prompts_alone, sets_among, split_of
from pipeline.core.sections import CsvCorpora
from pipeline.core.text_identity import normalised
from pipeline.corpora.corpus import Corpus, check_corpus, write_manifest
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
    whole = beside(corpus, "", [row("other", "harm"), row("else", "benign")], is_safe)
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
    whole = beside(first(), "", rows, is_safe)
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
    whole = beside(corpus, "", [*some, sure], is_safe, vote=vote, per_concept=per_concept)
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
    whole = beside(corpus, "", [row("other", "harm")], is_safe)
    assert {d.id for d in whole.documents} == {d.id for d in corpus.documents} - {"a"}
    assert whole.dropped["documents_held_out"] == held_out + 1


def test_a_corpus_of_nothing_new_or_nothing_to_ask_is_refused() -> None:
    with pytest.raises(InputError, match="text whose prompt the first one does not hold"):
        beside(first(), "", [row("ask 1", "harm")], is_safe)
    with pytest.raises(InputError, match="nothing could be asked of it"):
        beside(first(safe=()), "", [row("other", "new")], is_safe)
    whole = beside(first(safe=()), "", [row("other", "benign"), row("more", "harm")], is_safe)
    assert whole.safe == ()


def test_concepts_of_its_own_are_neither_learned_nor_demanded(tmp_path: Path) -> None:
    """They need no training text, and count for harm alone."""
    whole = beside(first(), "", [row("other", "new"), row("else", "harm")], is_safe)
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
        check_corpus(beside(corpus, "", [row("other", "do-harm")], is_safe))
    whole = beside(corpus, "a", [row("other", "hate-speech")], is_safe)
    check_corpus(beside(whole, "b", [row("other", "hate_speech")], is_safe))  # neither is named


def test_a_concept_of_both_has_the_first_corpus_form_and_keeps_its_harmlessness() -> None:
    whole = beside(first(), "", [row("other", "Harm"), row("else", "s\u200bafe")], is_safe)
    assert [(e.prompt, e.concept) for e in whole.shifted] == [("other", "harm"), ("else", "safe")]
    assert whole.safe == ("safe",)
    assert whole.as_meant["shifted_labels_in_another_form"] == 2


# Several sets


def sets() -> dict[str, list[Row]]:
    """Two that share a prompt, and repeat one of the first corpus."""
    return {
        "one": [row("shared", "harm"), row("ask 1", "harm"), row("mine", "benign")],
        "": [row("shared", "safe"), row("shared", "safe"), row("yours", "new")],
    }


def test_sets_do_not_change_each_other() -> None:
    """Each has the texts that it has beside the first corpus alone, whatever the others hold."""
    whole = first()
    for name, rows in sets().items():
        whole = beside(whole, name, rows, is_safe)
    check_corpus(whole)
    assert sets_among(e.split for e in whole.shifted) == ("shifted", "shifted/one")
    for name, rows in sets().items():
        alone = beside(first(), name, rows, is_safe)
        assert [e for e in whole.shifted if e.split == split_of(name)] == [*alone.shifted]
        own = {k: n for k, n in alone.dropped.items() if k.startswith(f"{split_of(name)}_")}
        assert own.items() <= whole.dropped.items()
    assert len({e.id for e in whole.labelled}) == len(whole.labelled)


def test_a_text_of_several_labels_of_one_kind_keeps_them_for_harm_alone() -> None:
    rows = [row("p", "new"), row("p", "harm"), row("q", "harm"), row("q", "safe"),
            row("r", "safe"), row("r", "benign"), row("s", "harm")]  # fmt: skip
    whole = beside(first(), "own", rows, is_safe)
    assert {e.prompt: e.concept for e in whole.shifted} == {
        "p": "harm + new", "r": "benign + safe", "s": "harm",
    }  # fmt: skip
    assert whole.safe == ("safe", "benign + safe")
    assert whole.dropped["shifted/own_contradicting_labels"] == 2, "harmful and harmless at once"
    assert {"harm + new", "benign + safe"}.isdisjoint(concepts_of(whole.examples))


def test_where_harm_is_not_asked_several_labels_contradict_each_other() -> None:
    rows = [row("p", "safe"), row("p", "harm"), row("q", "harm")]
    assert [e.prompt for e in beside(first(safe=()), "own", rows, is_safe).shifted] == ["q"]


def test_a_missing_label_is_counted_and_says_nothing() -> None:
    """Neither that its text is safe nor that another row of it is wrong."""
    rows = [row("p", ""), row("q", ""), row("q", "harm"), row("r", " ")]
    whole = beside(first(), "own", rows, is_safe)
    assert [(e.prompt, e.concept) for e in whole.shifted] == [("q", "harm")]
    assert whole.dropped["shifted/own_of_no_label"] == 3
    assert whole.safe == ("safe",)
    with pytest.raises(InputError, match="shifted/own has no labelled text"):
        beside(first(), "own", [row("p", "")], is_safe)


def test_a_label_that_is_known_keeps_its_kind() -> None:
    """Whatever another corpus means by its name."""
    whole = beside(first(), "own", [row("p", "harm"), row("q", "safe")], lambda _: True)
    assert whole.safe == ("safe",)


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


def put_set(params: CsvCorpora, name: str, rows: list[dict[str, str]]) -> CsvCorpora:
    (Path(params.folder) / "shifted" / name).mkdir()
    pd.DataFrame(rows).to_csv(Path(params.folder) / "shifted" / name / "t.csv", index=False)
    return params


PROMPTS = [{"prompt": f"p {n}", "concept": name} for n, name in enumerate(("harm", "safe", ""))]


def test_every_subfolder_is_a_set(folder: CsvCorpora) -> None:
    put_set(folder, "prompts", PROMPTS)
    put_set(folder, "Other texts", [{"prompt": "o", "response": "r", "concept": "harm"}])
    (Path(folder.folder) / "shifted" / ".hidden").mkdir()
    whole = read_tables(folder, 0)
    assert [(e.split, e.concept, e.response) for e in whole.shifted] == [
        ("shifted/Other texts", "harm", "r"),
        ("shifted/prompts", "harm", ""),
        ("shifted/prompts", "safe", ""),
    ]
    assert whole.dropped["shifted/prompts_of_no_label"] == 1
    assert prompts_alone(whole.shifted) == {"shifted/prompts"}
    assert set(whole.sources) == {"t.csv", "shifted/prompts/t.csv", "shifted/Other texts/t.csv"}
    assert len(read_tables(put(folder, "harm"), 0).shifted) == 4, "tables beside the subfolders"


def test_a_set_of_which_not_all_are_answered_is_of_prompts(folder: CsvCorpora) -> None:
    rows = [{**PROMPTS[0], "response": "r"}, {**PROMPTS[1], "response": " "}]
    whole = read_tables(put_set(folder, "mixed", rows), 0)
    assert prompts_alone(whole.shifted) == {"shifted/mixed"}
    assert whole.as_meant["shifted/mixed_texts_without_a_response"] == 1


def test_what_is_learned_from_needs_its_columns_and_labels(folder: CsvCorpora) -> None:
    pd.DataFrame(PROMPTS).to_csv(Path(folder.folder) / "u.csv", index=False)
    with pytest.raises(InputError, match="has no column 'response'"):
        read_tables(put(folder, "harm"), 0)
    rows = [{**row, "response": "r"} for row in PROMPTS]
    pd.DataFrame(rows).to_csv(Path(folder.folder) / "u.csv", index=False)
    with pytest.raises(InputError, match=r"u\.csv row 3 is labelled ''"):
        read_tables(put(folder, "harm"), 0)


# Recipes


def test_recipes_know_what_is_harmless() -> None:
    """Of a corpus of harms alone nothing is; of one that knows no harm, everything."""
    assert LABELLED_RECIPES["beavertails_binary"].harmless("safe")
    assert not LABELLED_RECIPES["beavertails_binary"].harmless("unsafe")
    assert LABELLED_RECIPES["wildguard"].harmless("unharmful")
    assert not LABELLED_RECIPES["salad"].harmless("Malicious Use")
    assert LABELLED_RECIPES["math"].harmless("algebra")
