"""Labelled rows: what is kept, what is dropped and counted, what is asked."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.records import Document, Request
from pipeline.corpora.corpus import Corpus
from pipeline.corpora.labelled_corpus import Rules, labelled_corpus
from pipeline.corpora.rows import Row


def row(prompt: str, label: str, response: str = "say") -> Row:
    return Row(prompt, response, "", label, "t")


some_rows = st.lists(
    st.builds(row, st.sampled_from("pqrstuvw"), st.sampled_from("abc"), st.sampled_from("xy")),
    max_size=40,
)


def gathered(
    some: Iterable[Row], per_concept: int = 0, vote: bool = False, **options: Any
) -> Corpus:
    return labelled_corpus(some, Rules(("a",), 0.2, 0.3, 0, per_concept, vote), "free", **options)


@given(some_rows, st.booleans(), st.integers(0, 3))
def test_every_row_is_kept_or_counted(some: list[Row], vote: bool, per_concept: int) -> None:
    corpus = gathered(some, vote=vote, per_concept=per_concept)
    assert len(corpus.examples) + sum(corpus.dropped.values()) == len(some)
    assert len({e.id for e in corpus.examples}) == len(corpus.examples)


@given(some_rows)
def test_a_vote_keeps_what_most_rows_of_a_text_say(some: list[Row]) -> None:
    """Counted by hand."""
    said: dict[tuple[str, str], Counter[str]] = {}
    for each in some:
        said.setdefault((each.prompt, each.response), Counter())[each.label] += 1
    expected = {
        text: max(votes, key=votes.__getitem__)
        for text, votes in said.items()
        if sorted(votes.values())[-2:] != [max(votes.values())] * 2
    }
    kept = gathered(some, vote=True).examples
    assert {(e.prompt, e.response): e.concept for e in kept} == expected
    undisputed = {text: label for text, label in expected.items() if len(said[text]) == 1}
    kept = gathered(some, vote=False).examples
    assert {(e.prompt, e.response): e.concept for e in kept} == undisputed


def test_a_vote_worked_by_hand() -> None:
    some = [row("p", "a"), row("P ", "b"), row("p", "b"), row("q", "a"), row("q", "b")]
    corpus = gathered([*some, row("r", "c")], vote=True)
    assert {e.prompt: e.concept for e in corpus.examples} == {"p": "b", "r": "c"}
    assert corpus.dropped == {"contradicting_labels": 2, "duplicates": 1, "outvoted": 1}


def test_at_most_so_many_texts_of_a_concept() -> None:
    some = [row(f"p {n}", "abbb"[n % 4]) for n in range(400)]
    every, fewer = gathered(some), gathered(some, per_concept=20)
    counts = Counter((e.concept, e.split) for e in fewer.examples)
    for concept in "ab":
        assert counts[concept, "train"] == 20
        # 0.2 and 0.3 of all, beside 0.5 to train on
        assert counts[concept, "validation"] == 8
        assert counts[concept, "test"] == 12
    assert fewer.dropped["beyond_per_concept"] == 400 - 80
    assert set(fewer.examples) <= set(every.examples)
    other_order = gathered(some[::-1], per_concept=20).examples
    assert {e.id for e in other_order} == {e.id for e in fewer.examples}


@pytest.mark.parametrize("per_concept", [0, 1000])
def test_a_bound_that_is_not_reached_drops_nothing(per_concept: int) -> None:
    some = [row(f"p {n}", "ab"[n % 2]) for n in range(40)]
    assert gathered(some, per_concept=per_concept).examples == gathered(some).examples


def test_documents_of_their_own_replace_the_texts() -> None:
    document = Document("d", "p", "r", "pretrain")
    some = [row(f"p {n}", "ab"[n % 2]) for n in range(9)]
    assert gathered(some, documents=[document]).documents == (document,)
    assert gathered(some, documents=[]).documents == ()
    assert len(gathered(some).documents) > 1


def test_requests_of_their_own_stand_beside_the_test_prompts() -> None:
    request = Request("r", "p", True, False, "test")
    some = [row(f"p {n}", "ab"[n % 2]) for n in range(9)]
    without = gathered(some).requests
    assert without
    assert gathered(some, requests=[request]).requests == (*without, request)


def test_what_is_measured_is_not_learned_and_what_is_learned_is_not_asked() -> None:
    some = [row(f"p {n}", "ab"[n % 2]) for n in range(9)]
    of_split = {e.split: e.prompt for e in gathered(some).examples}
    documents = [Document(s, f" {p.upper()}", "r", "pretrain") for s, p in of_split.items()]
    requests = [Request(s, p, True, False, "test") for s, p in of_split.items()]
    corpus = gathered(some, documents=documents, requests=requests)
    assert [d.id for d in corpus.documents] == ["train"]
    assert of_split.keys() == {"train", "validation", "test"}
    assert not of_split.keys() & {r.id for r in corpus.requests}
    assert corpus.requests == gathered(some).requests  # the test prompt is asked once
    assert corpus.dropped["documents_held_out"] == len(of_split) - 1
    assert corpus.dropped["requests_known"] == len(of_split)


def test_sources_are_kept() -> None:
    source = {"repo": "a/b", "revision": "0", "sha256": "1", "licence": "free"}
    assert gathered([row("p", "a")], sources={"f.json": source}).sources == {"f.json": source}
    assert gathered([row("p", "a")]).sources == {}


def test_rows_are_read_once_from_any_iterable() -> None:
    some = [row(f"p {n}", "ab"[n % 2]) for n in range(9)]
    assert gathered(iter(some)) == gathered(some)
