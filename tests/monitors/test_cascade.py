"""A cascade is its first monitor where none is sent, and its judge where all are."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.bootstrap import draw_resamples
from pipeline.monitors.cascade import SHARES, Cascade, cascade_measures, choose_cascade
from pipeline.monitors.thresholds import threshold_for
from tests.monitors.test_evaluation import variant_texts


def texts(seed: int, count: int, first: float, judged: float) -> tuple[np.ndarray, ...]:
    """Probabilities by a monitor and a judge, and the truth of texts. first, judged: how far the
    means of their logits lie apart."""
    rng = np.random.default_rng(seed)
    harmful = rng.random(count) < 0.5
    harmful[:2] = True, False
    said = [gap * (harmful - 0.5) + rng.normal(size=count) for gap in (first, judged)]
    return (*(1 / (1 + np.exp(-own)) for own in said), harmful)


def alarms(cascade: Cascade, first: np.ndarray, judged: np.ndarray) -> list[bool]:
    return (cascade.scores(first, judged) >= cascade.threshold).tolist()


@given(st.integers(0, 1000), st.sampled_from([0.01, 0.05, 0.3]))
def test_the_ends_of_the_curve_are_both_monitors_alone(seed: int, rate: float) -> None:
    first, judged, harmful = texts(seed, 60, 2.0, 3.0)
    none, every = (choose_cascade(share, rate, first, judged, harmful) for share in (0, 1))
    assert not none.sent(first).any()
    assert every.sent(first).all()
    assert alarms(none, first, judged) == (first >= threshold_for(rate, harmful, first)).tolist()
    assert alarms(every, first, judged) == (judged >= threshold_for(rate, harmful, judged)).tolist()


@given(st.integers(0, 1000), st.sampled_from(SHARES), st.sampled_from([0.01, 0.05, 0.3]))
def test_a_share_is_sent_and_a_rate_is_kept_where_both_are_chosen(
    seed: int, share: float, rate: float
) -> None:
    first, judged, harmful = texts(seed, 60, 2.0, 3.0)
    chosen = choose_cascade(share, rate, first, judged, harmful)
    assert chosen.sent(first).sum() == round(60 * share)
    alarm = np.array(alarms(chosen, first, judged))
    assert alarm[~harmful].mean() <= rate + 1e-12
    sure = np.abs(first - chosen.middle)[~chosen.sent(first)]
    assert not len(sure) or sure.min() > 0, "what is nearest is sent first"


def test_a_judge_is_asked_of_what_the_first_is_unsure_of() -> None:
    """Worked by hand: two texts of six lie about the threshold, and the judge knows them."""
    first = np.array([0.9, 0.8, 0.55, 0.45, 0.2, 0.1])
    harmful = np.array([True, True, False, True, False, False])
    judged = np.array([0.0, 0.0, 0.1, 0.9, 1.0, 1.0])
    chosen = choose_cascade(1 / 3, 0.0, first, judged, harmful)
    assert chosen.middle == pytest.approx(0.675)
    assert chosen.sent(first).tolist() == [False, True, True, False, False, False]
    wide = choose_cascade(0.5, 0.0, first, judged, harmful)
    assert wide.sent(first).tolist() == [False, True, True, True, False, False]
    found = wide.measure(first, judged, harmful, "0_percent", np.ones((1, 6)))
    assert {name: own.value for name, own in found.items()} == pytest.approx(
        {"sent_for_0_percent": 0.5, "tpr_for_0_percent": 2 / 3, "fpr_for_0_percent": 0}
    )


def test_a_good_judge_of_few_buys_much_and_one_that_guesses_nothing() -> None:
    known, new = texts(0, 4000, 2.0, 6.0), texts(1, 4000, 2.0, 6.0)
    blind = np.random.default_rng(2).random((2, 4000))
    found = {}
    for share in SHARES:
        for name, first, other in (("good", known[1], new[1]), ("blind", *blind)):
            chosen = choose_cascade(share, 0.05, known[0], first, known[2])
            counts = draw_resamples(4000, 10, 0)
            measures = chosen.measure(new[0], other, new[2], "r", counts)
            found[name, share] = measures["tpr_for_r"].value
            assert measures["fpr_for_r"].value < 0.065
            assert measures["sent_for_r"].value == pytest.approx(share, abs=0.03)
    good = [found["good", share] for share in SHARES]
    assert good == sorted(good)
    assert found["good", 0.2] - found["good", 0] > 0.1
    assert found["good", 0.5] > 0.9 * found["good", 1]
    assert max(found["blind", share] for share in SHARES) <= found["blind", 0] + 0.02


def test_the_cascade_is_measured_on_held_out_texts() -> None:
    whole = variant_texts(gap=1.0)
    names, concepts = whole.stored.ids, whole.stored.concepts
    knowing = {n: 0.9 if c != "safe" else 0.1 for n, c in zip(names, concepts, strict=True)}
    found = cascade_measures(dataclasses.replace(whole, judged=knowing))
    assert {path[1] for path in found} == {"test", "novel"}
    assert found["cascade", "test", "100_percent_sent", "tpr_for_5_percent"].value == 1
    assert found["cascade", "test", "100_percent_sent", "fpr_for_5_percent"].value == 0
    assert found["cascade", "test", "0_percent_sent", "sent_for_5_percent"].value == 0
    assert cascade_measures(whole) == {}
