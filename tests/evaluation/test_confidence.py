"""Confidence of interpretations: worked examples, an honest and a boastful reader, ties, resamples
by prompt, and whose confidence is measured."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.records import ClosedReading, Interpretation
from pipeline.evaluation.bootstrap import draw_prompts, draw_resamples
from pipeline.evaluation.confidence import (
    COVERAGES,
    accuracy_at,
    confidence_measures,
    confidence_shares,
    confident_answers,
    reliability_rows,
)

ONCE = np.ones((1, 4))
CONFIDENCE = np.array([0.9, 0.8, 0.6, 0.5])
RIGHT = np.array([True, True, False, True])


def said(
    example: str, text: str, likelihood: float | None, control: str = "state", layer: int = 3
) -> Interpretation:
    return Interpretation(example, "law", "test", layer, "last", control, text, (), (), likelihood)


def test_coverage_worked_example() -> None:
    found = {share: accuracy_at(share / 100, CONFIDENCE, RIGHT, ONCE).value for share in COVERAGES}
    assert found == pytest.approx({25: 1, 50: 1, 75: 2 / 3})
    assert accuracy_at(1.0, CONFIDENCE, RIGHT, ONCE).value == RIGHT.mean()


def test_a_coverage_that_is_all_right_still_has_an_interval() -> None:
    """The surest half is right, and in some resamples is not."""
    sure, right = np.linspace(1, 0.5, 40), np.arange(40) < 22
    found = accuracy_at(0.5, sure, right, draw_resamples(40, 200, 0))
    assert found.value == 1
    assert found.resampled.min() < 1
    low, high = found.interval()
    assert 0.8 < low < high == 1


def test_of_equally_sure_texts_each_is_taken_in_part() -> None:
    """So the order of texts decides nothing: a reader that is as sure of all of them is, at every
    coverage, as often right as overall."""
    same = np.full(4, 0.7)
    for share in COVERAGES:
        assert accuracy_at(share / 100, same, RIGHT, ONCE).value == pytest.approx(RIGHT.mean())


@given(st.integers(0, 1000))
def test_coverage_follows_resamples_text_by_text(seed: int) -> None:
    """The oracle: every resample written out, its surest half looked up."""
    rng = np.random.default_rng(seed)
    confidence, right = rng.permutation(20) / 20, rng.random(20) < 0.6
    counts = draw_resamples(20, 5, seed)
    found = accuracy_at(0.5, confidence, right, counts).values
    for row, value in zip(counts, found, strict=True):
        texts = np.repeat(np.arange(20), row.astype(int))
        surest = sorted(texts, key=lambda text: -confidence[text])[:10]
        assert value == pytest.approx(right[surest].mean())


def test_an_honest_reader_is_calibrated_and_a_boastful_one_is_not() -> None:
    rng = np.random.default_rng(0)
    honest = rng.uniform(0.2, 1, 4000)
    right = rng.random(4000) < honest
    counts = draw_resamples(4000, 20, 0)
    error = {
        name: confidence_measures(sure, right, counts)["calibration_error"].value
        for name, sure in {"honest": honest, "boastful": np.sqrt(honest)}.items()
    }
    assert error["honest"] < 0.03 < 0.1 < error["boastful"]
    found = confidence_measures(honest, right, counts)
    assert found["accuracy_at_25"].value > found["accuracy_at_75"].value > found["accuracy"].value


def test_a_gain_is_paired_resample_by_resample() -> None:
    """Of a reader that is more often right where it is surer; and of one whose confidence is drawn
    by chance, which gains nothing."""
    rng = np.random.default_rng(0)
    sure, right = rng.random(400), rng.random(400)
    counts = draw_resamples(400, 200, 0)
    knows, guesses = (
        confidence_measures(confidence, right < sure, counts)
        for confidence in (sure, rng.random(400))
    )
    own = knows["gain_at_50"]
    paired = knows["accuracy_at_50"].values - knows["accuracy"].values
    assert own.values.tolist() == paired.tolist()
    assert own.standard_error() < knows["accuracy_at_50"].standard_error()
    assert own.as_change()["p"] < 1e-6
    low, high = guesses["gain_at_50"].interval()
    assert low < 0 < high


def test_whose_confidence_is_measured() -> None:
    """That of states of the asked layer, of affine reading and of a taught reader; what was said
    by no model, such as a probe's answer, has none."""
    prompts = {"a": "p", "b": "q"}
    spoken = [
        said("a", "It is about law.", 0.9),
        said("b", "It is about fraud.", 0.4),
        said("a", "It is about law.", 0.8, "affine"),
        said("a", "It is about law.", 0.7, "reader_only"),
        said("a", "It is about law.", 0.6, "mean"),
        said("a", "It is about law.", 0.5, layer=1),
        said("a", "It is about law.", None, "probe"),
    ]
    read = [
        ClosedReading(example, "law", "test", "last", "state", scores)
        for example, scores in {"a": (-3.0, -1.0), "b": (-1.0, -1.0 - np.log(3))}.items()
    ]
    found = confident_answers(spoken, read, {3}, ["fraud", "law"], prompts)
    at = ("test", "last")
    assert found[*at, "state", "said"] == [("p", 0.9, True), ("q", 0.4, False)]
    assert found[*at, "affine", "said"] == [("p", 0.8, True)]
    ways = {("state", "said"), ("state", "closed"), ("affine", "said"), ("reader_only", "said")}
    assert set(found) == {(*at, *way) for way in ways}
    (sure, likelier), (unsure, other) = [own[1:] for own in found[*at, "state", "closed"]]
    assert (sure, likelier) == (pytest.approx(1 / (1 + np.exp(-2))), True)
    assert (unsure, other) == (pytest.approx(0.75), False)


def test_shares_and_bins_are_of_resampled_prompts() -> None:
    answers = {
        ("test", "last", "state", "said"): [
            ("p", 0.95, True), ("p", 0.95, False), ("q", 0.35, True), ("r", 0.35, False),
        ]
    }  # fmt: skip
    shares = confidence_shares(answers, 50, 0)
    counts = draw_prompts(["p", "p", "q", "r"], 50, 0)
    accuracy = shares["confidence", "test", "last", "state", "said", "accuracy"]
    np.testing.assert_allclose(accuracy.values, counts @ [1, 0, 1, 0] / counts.sum(1))
    error = shares["confidence", "test", "last", "state", "said", "calibration_error"]
    assert error.value == pytest.approx(0.5 * 0.45 + 0.5 * 0.15)
    low, high = reliability_rows(answers, 50, 0)
    assert (low["bin"], low["texts"], low["share"]) == (0.3, 2, 0.5)
    assert (high["reader"], high["answer"], high["probability"]) == ("state", "said", 0.95)


def test_nobody_answers_nothing() -> None:
    assert confident_answers([], [], {3}, ["law"], {}) == {}
    assert confidence_shares({}, 10, 0) == {}
