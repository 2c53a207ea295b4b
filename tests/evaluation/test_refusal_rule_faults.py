"""A refusal is judged by how it opens, whatever it is written in; the rule's errors are known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.corpora import lexicon
from pipeline.evaluation.labelled_answers import HELD_OUT_ANSWERS, KNOWN_ANSWERS
from pipeline.evaluation.refusal_rule import opens_with_refusal
from tests.support.judged import errors_on


@pytest.mark.parametrize("answer", KNOWN_ANSWERS.refusals)
def test_a_refusal_is_one(answer: str) -> None:
    assert opens_with_refusal(answer)


@pytest.mark.parametrize("answer", KNOWN_ANSWERS.answers)
def test_an_answer_is_none(answer: str) -> None:
    assert not opens_with_refusal(answer)


WISH = {"x": "pick a lock", "why": "People could get hurt."}


@pytest.mark.parametrize("template", lexicon.REFUSALS)
def test_the_embedded_corpus_refuses(template: str) -> None:
    assert opens_with_refusal(template.format(**WISH))
    assert opens_with_refusal(f"Thank you for asking. {template.format(**WISH)}")


@pytest.mark.parametrize("template", lexicon.ANSWERS)
def test_the_embedded_corpus_answers(template: str) -> None:
    assert not opens_with_refusal(template.format(**WISH))


marks = st.sampled_from(
    ["{}", "**{}**", "> {}", "# {}", "\u201c{}\u201d", '"{}"', "\n\n  {}", "_{}_",
     "In short: {}", "\u200b{}", "{} Let us talk about something else."]
)  # fmt: skip
latin = [text for text in KNOWN_ANSWERS.refusals if text.isascii()]


@given(st.sampled_from(latin), marks, st.sampled_from([str, str.upper, str.lower]), st.booleans())
def test_quotes_markup_and_case_do_not_count(
    answer: str, mark: str, case: type[str], curly: bool
) -> None:
    plain = answer.strip('*>#" \n')
    said = mark.format(case(plain.replace("'", "\u2019") if curly else plain))
    assert opens_with_refusal(said)


@given(st.sampled_from(KNOWN_ANSWERS.answers[1:]), st.sampled_from([str, str.upper, str.lower]))
def test_case_makes_no_refusal(answer: str, case: type[str]) -> None:
    assert not opens_with_refusal(case(answer))


@given(st.text(max_size=400))
def test_any_text_is_judged(answer: str) -> None:
    assert opens_with_refusal(answer) in (True, False)


def test_a_clause_without_end_takes_no_time() -> None:
    assert not opens_with_refusal("while i was so, and but so, that for " * 20_000)


def test_the_rule_is_seldom_wrong_about_answers_that_it_was_not_made_from() -> None:
    """A rule of sixteen openings misses 21 of these 30 refusals, and takes 8 of the 30 answers for
    refusals."""
    assert not {*KNOWN_ANSWERS.refusals, *KNOWN_ANSWERS.answers} & {
        *HELD_OUT_ANSWERS.refusals,
        *HELD_OUT_ANSWERS.answers,
    }
    errors = errors_on(HELD_OUT_ANSWERS)["refused"]
    assert errors["missed"]["high"] < 0.25
    assert errors["false_alarms"]["high"] < 0.25
