"""What judges are worth: errors on labelled answers, and agreement beyond chance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from pipeline.core.records import Example, Request, Verdict
from pipeline.evaluation.judge_worth import (
    SENTENCES,
    TEXTS,
    error_rates,
    judge_agreement,
    kappa,
    labelled_exchanges,
)
from pipeline.evaluation.judges import SUBSTRINGS
from pipeline.evaluation.labelled_answers import HELD_OUT_ANSWERS, LabelledAnswers
from tests.support.judged import errors_on

FOUR = LabelledAnswers(refusals=("I can't.", "Sure.", "Sure.", "No."), answers=("Sure.",) * 4)


def test_errors_are_shares_of_the_labelled_with_exact_intervals() -> None:
    found = errors_on(FOUR)
    assert (found["refused"]["missed"]["value"], found["refused"]["missed"]["of"]) == (0.5, 4)
    # none of four: the exact upper bound is 1 - 0.025 ** (1 / 4)
    assert found["refused"]["false_alarms"] == pytest.approx(
        {"value": 0, "low": 0, "high": 1 - 0.025**0.25, "of": 4}
    )
    assert found["unparsed"] == 0
    assert "harmful" not in found


def test_the_published_substrings_are_no_better_than_the_rule() -> None:
    rule, substrings = errors_on(HELD_OUT_ANSWERS), errors_on(HELD_OUT_ANSWERS, SUBSTRINGS)
    for error in ("missed", "false_alarms"):
        assert rule["refused"][error]["value"] <= substrings["refused"][error]["value"]
    assert substrings["refused"]["missed"]["of"] == 30


def text(name: str, concept: str, response: str, split: str = "test") -> Example:
    return Example(name, f"ask {name}", response, "No.", concept, split, "t")


TEXTS_OF_A_CORPUS = [
    text("h1", "theft", "Take it."), text("h2", "theft", "Illegal, but take it.", "novel"),
    text("r", "theft", "No."), text("s", "safe", "Bake."), text("seen", "theft", "Do.", "train"),
    text("prompt alone", "theft", ""),
]  # fmt: skip


def test_a_corpus_own_held_out_answers_are_labelled() -> None:
    """A harmful answer refuses nothing; of another it is not known whether it does."""
    labelled = labelled_exchanges(LabelledAnswers((), ()), TEXTS_OF_A_CORPUS, ["safe"])
    assert {one.id: (one.refused, one.harmful) for one in labelled} == {
        "h1": (False, True), "h2": (False, True), "r": (None, False), "s": (None, False),
    }  # fmt: skip
    assert {one.origin for one in labelled} == {TEXTS}
    assert labelled_exchanges(LabelledAnswers((), ()), TEXTS_OF_A_CORPUS, []) == []


def test_errors_by_judge_set_and_question() -> None:
    labelled = labelled_exchanges(FOUR, TEXTS_OF_A_CORPUS, ["safe"])
    said = [
        Verdict("h1", 0, "guard", True, False, True), Verdict("h2", 0, "guard", True, True, False),
        Verdict("r", 0, "guard", True, True, True), Verdict("s", 0, "guard", False, None, None),
    ]  # fmt: skip
    (found,) = error_rates(labelled, said).values()
    assert found[TEXTS]["unparsed"] == 1
    shares = {
        (question, error): (share["value"], share["of"])
        for question in ("refused", "harmful")
        for error, share in found[TEXTS][question].items()
    }
    assert shares == {
        ("harmful", "missed"): (0.5, 2), ("harmful", "false_alarms"): (1.0, 1),
        ("refused", "false_alarms"): (0.5, 2),
    }  # fmt: skip
    assert SENTENCES not in found


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_kappa_is_that_of_scikit_learn(said: list[tuple[bool, bool]]) -> None:
    table = np.zeros((2, 2))
    for one, other in said:
        table[int(one), int(other)] += 1
    ours = float(kappa(table))
    if len({*said}) == 1 and said[0][0] == said[0][1]:
        assert np.isnan(ours), "both always say one and the same"
    else:
        one, other = zip(*said, strict=True)
        assert ours == pytest.approx(cohen_kappa_score(one, other))


def test_kappa_of_no_answer_is_undefined() -> None:
    assert np.isnan(kappa(np.zeros((2, 2))))


REQUESTS = [Request(f"r{n}", "", n < 8, False, "test") for n in range(10)]


def said(judge: str, refused: list[bool]) -> list[Verdict]:
    return [
        Verdict(r.id, 0, judge, True, value, None)
        for r, value in zip(REQUESTS, refused, strict=True)
    ]


def test_agreement_is_of_answers_to_harmful_requests_that_both_could_read() -> None:
    one = said("one", [True] * 4 + [False] * 6)
    other = said("other", [True] * 2 + [False] * 2 + [True, False, False, False] + [True] * 2)
    other[7] = Verdict("r7", 0, "other", False, None, None)
    found = judge_agreement(REQUESTS, {"one": one, "other": other}, 200, 0)
    (name,) = found
    assert name == "one_and_other"
    kept = slice(0, 7)
    expected = cohen_kappa_score([v.refused for v in one[kept]], [v.refused for v in other[kept]])
    assert found[name].rate.value == pytest.approx(expected)
    assert found[name].of == 7
    low, high = found[name].rate.interval()
    assert low < expected < high


def test_a_judge_agrees_with_itself_and_nobody_with_a_coin() -> None:
    own = said("own", [True, False] * 5)
    same = judge_agreement(REQUESTS, {"own": own, "twin": own}, 20, 0)
    assert same["own_and_twin"].rate.value == 1
    coin = said("coin", [True, True, False, False] * 2 + [True] * 2)
    assert (
        judge_agreement(REQUESTS, {"own": own, "coin": coin}, 20, 0)["coin_and_own"].rate.value == 0
    )
    assert judge_agreement([], {"own": [], "twin": []}, 20, 0) == {}
    assert judge_agreement(REQUESTS, {"own": own, "mute": []}, 20, 0) == {}
