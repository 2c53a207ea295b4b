"""Whether what is said follows a moved state: the worked example, pairing, and readers that do not
follow."""

from typing import Any

import numpy as np
import pytest

from pipeline.core.records import MovedInterpretation
from pipeline.evaluation.bootstrap import draw_resamples
from pipeline.evaluation.interpretation_accuracy import interpretation_metrics
from pipeline.evaluation.intervals import ProportionChange
from pipeline.evaluation.moved_states import moved_shares

CONCEPTS = ("law", "biology", "art")


def said(number: int, direction: str, per_cent: int, text: str) -> MovedInterpretation:
    return MovedInterpretation(f"e{number}", "law", "art", "last", direction, per_cent, text)


def shares_of(texts: dict[tuple[str, int], list[str]], resamples: int = 100) -> Any:
    """What is said by direction and size, text by text."""
    records = [
        said(number, *path, text) for path, own in texts.items() for number, text in enumerate(own)
    ]
    prompts = {record.example: f"p{record.example}" for record in records}
    return moved_shares(records, CONCEPTS, prompts, resamples, 0)


def test_shares_are_of_the_target_and_of_the_own_concept() -> None:
    shares = shares_of({
        ("concept", 0): ["law", "law", "law", "biology"],
        ("concept", 100): ["art", "It is about art.", "law", "law or art"],
        ("random", 0): ["law", "law", "law", "biology"],
        ("random", 100): ["law", "art", "law", "biology"],
    })  # fmt: skip
    first = {path: share.value for path, share in shares.items()}
    at = ("moved", "last")
    assert first[*at, "concept", "by_0", "own"] == 0.75
    assert first[*at, "concept", "by_0", "target"] == 0
    assert first[*at, "concept", "by_100", "target"] == 0.5, "a text that names two names none"
    assert first[*at, "concept", "by_100", "own"] == 0.25
    assert first[*at, "random", "by_100", "target"] == 0.25
    assert first[*at, "follows", "by_0"] == 0, "the same states"
    assert first[*at, "follows", "by_100"] == 0.25


def test_following_is_paired_text_by_text() -> None:
    rng = np.random.default_rng(0)
    along, beside = (rng.random(40) < share for share in (0.7, 0.3))
    words = {True: "art", False: "law"}
    shares = shares_of({
        ("concept", 100): [words[bool(one)] for one in along],
        ("random", 100): [words[bool(one)] for one in beside],
    })  # fmt: skip
    counts = draw_resamples(40, 100, 0)
    expected = counts @ (along.astype(float) - beside) / 40
    follows = shares["moved", "last", "follows", "by_100"]
    np.testing.assert_allclose(follows.values, expected)


def test_a_reader_that_says_the_same_follows_by_nothing() -> None:
    same = {(direction, 100): ["art", "law"] * 5 for direction in ("concept", "random")}
    tree = interpretation_metrics(shares_of(same), None)
    moved: Any = tree["moved"]
    follows = moved["last"]["follows"]["by_100"]
    assert follows["value"] == 0
    assert follows["low"] == -follows["high"]


def test_how_far_a_variant_follows_is_held_against_the_untouched_model() -> None:
    """Only this of moved states: their shares have no difference of their own."""
    size = 100
    before = {("concept", size): ["law"] * 9 + ["art"], ("random", size): ["law"] * 10}
    after = {("concept", size): ["art"] * 5 + ["law"] * 5, ("random", size): ["law"] * 10}
    then, now = shares_of(before), shares_of(after)
    tree: Any = interpretation_metrics(now, then)
    change = tree["difference"]["moved"]["last"]
    assert set(change) == {"follows"}
    moved = np.array([1.0] * 5 + [0] * 4 + [-1])
    expected = ProportionChange(draw_resamples(10, 100, 0) @ moved / 10, 10).as_change()
    assert change["follows"]["by_100"] == pytest.approx(expected)


def test_nothing_moved_measures_nothing() -> None:
    assert moved_shares([], CONCEPTS, {}, 100, 0) == {}
