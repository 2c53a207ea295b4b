"""Questions with options: found in prompts, or made of held-out documents."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.records import Document, Question
from pipeline.core.text_identity import normalised
from pipeline.corpora.folder_corpus import read_tables
from pipeline.corpora.questions import CHOICES_OF, continuation_questions, option_question
from pipeline.corpora.recipes import LABELLED_RECIPES
from tests.support.own_texts import csv_corpora

PROMPT = (
    "Answer with one of ABCD.\n\nA. not this list\n\nWhat is two?\n\nA. one\n (B) two\nC) 3: c\n"
)


def test_options_are_the_last_list_of_a_prompt() -> None:
    assert option_question("q", PROMPT, "So the answer is (B).") == Question(
        "q", "options", PROMPT, ("Answer: A. one", "Answer: B. two", "Answer: C. 3: c"), 1
    )


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (PROMPT, "It is two."),
        (PROMPT, "Answer: A\nNo. Answer: B"),
        (PROMPT, "Answer: D"),
        (PROMPT, "its format: 'Answer: $LETTER', where LETTER is one of ABC"),
        ("What?\nA. one", "Answer: A"),
        ("What?\nB. one\nC. two", "Answer: B"),
        ("What? A. one B. two", "Answer: B"),
    ],
    ids=["no letter", "two letters", "no option", "no answer yet", "one option", "no A", "no list"],
)
def test_what_is_no_question_with_one_right_option_is_none(prompt: str, said: str) -> None:
    assert option_question("q", prompt, said) is None


@given(
    st.lists(st.text("abc xyz", min_size=1).filter(str.strip), min_size=2, max_size=9), st.data()
)
def test_every_option_is_found_and_the_right_one_is(texts: list[str], data: st.DataObject) -> None:
    right = data.draw(st.integers(0, len(texts) - 1))
    letters = "ABCDEFGHI"
    prompt = "Which?\n" + "\n".join(f"{letters[n]}. {text}" for n, text in enumerate(texts))
    found = option_question("q", prompt, f"Because.\nAnswer: {letters[right]}. {texts[right]}")
    assert found is not None
    assert found.right == right
    assert [normalised(o) for o in found.options] == [
        normalised(f"Answer: {letters[n]}. {text}") for n, text in enumerate(texts)
    ]


def test_the_hubs_questions_are_read() -> None:
    cells = {"question": "Q?", "choices": ["w", "x", "y", "z"], "answer": 2, "subject": "nutrition"}
    (row,) = LABELLED_RECIPES["knowledge"].rows("file", cells)
    found = option_question("q", row.prompt, row.response)
    assert found is not None
    assert found.options[found.right] == row.response


def test_tables_say_what_is_right_in_a_column_or_in_the_response(tmp_path: Path) -> None:
    """Of test prompts alone, each once; a worked answer of another letter says nothing then."""
    rows = [
        {"prompt": f"{n}?\nA. x\nB. y", "response": "Answer: A", "concept": "ab"[n % 2],
         "question": "Correct answer: B" if n % 3 else ""}
        for n in range(60)
    ]  # fmt: skip
    again = [{**row, "response": "Answer: A, again"} for row in rows]
    pd.DataFrame(rows + again).to_csv(tmp_path / "t.csv", index=False)
    corpus = read_tables(csv_corpora(tmp_path), 0)
    tested = {e.prompt for e in corpus.examples if e.split == "test"}
    assert {q.prompt for q in corpus.questions} == tested
    assert len(corpus.questions) == len(tested) > 5
    for question in corpus.questions:
        number = int(question.prompt.split("?")[0])
        assert question.right == (1 if number % 3 else 0)


def documents(count: int, different: int) -> list[Document]:
    return [Document(f"d{n}", f"ask {n}", f"say {n % different}", "heldout") for n in range(count)]


@given(st.integers(1, 12), st.integers(1, 8), st.integers(0, 3))
def test_a_continuation_has_its_own_response_and_others(
    count: int, different: int, seed: int
) -> None:
    every = documents(count, different)
    learned = [replace(d, id=f"t{d.id}", response="learned", split="pretrain") for d in every]
    made = list(continuation_questions([*every, *learned], seed))
    assert len(made) == (count if min(count, different) >= CHOICES_OF else 0)
    for question, document in zip(made, every, strict=False):
        assert (question.prompt, question.task) == (document.prompt, "continuation")
        assert question.options[question.right] == document.response
        assert len(set(question.options)) == CHOICES_OF
        assert "learned" not in question.options
    assert made == list(continuation_questions([*every, *learned], seed))


def test_the_right_continuation_stands_anywhere() -> None:
    made = list(continuation_questions(documents(400, 400), 0))
    shares = [sum(q.right == place for q in made) / 400 for place in range(CHOICES_OF)]
    assert all(0.17 < share < 0.33 for share in shares)
    others = [o for q in made for n, o in enumerate(q.options) if n != q.right]
    assert len(set(others)) > 300, "wrong ones are drawn from all documents"
