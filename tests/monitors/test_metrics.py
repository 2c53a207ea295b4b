"""How well scores tell: scikit-learn as the oracle, worked examples, ties and single classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    roc_auc_score,
    roc_curve,
)

from pipeline.evaluation.bootstrap import draw_resamples
from pipeline.monitors.metrics import (
    LOW_RATES,
    concept_measures,
    harm_measures,
    is_asked,
    macro_f1,
    questions_of,
    ranking,
    roc_at,
    stream_measures,
)
from pipeline.monitors.thresholds import Thresholds

ONCE = np.ones((1, 4))
CHOSEN = Thresholds(0.4, {"5_percent": 0.7})


def test_a_harmful_texts_error_is_that_of_the_probability_of_harm() -> None:
    """Worked: a monitor that is sure and right has none, whatever its threshold; and where it says
    0.25 of texts a quarter of which are harmful, it has none, though it misses every one."""
    truth = np.array([True, False, False, False])
    for threshold in (0.0, 0.4, 1.0):
        for score, expected in (
            ([1, 0, 0, 0], 0),
            ([0.25] * 4, 0),
            ([0, 1, 1, 1], 1),
            ([0.75] * 4, 0.5),
        ):
            found = harm_measures(np.array(score, float), truth, Thresholds(threshold, {}), ONCE)
            assert found["calibration_error"].value == pytest.approx(expected)


def ranked(truth: list[bool], score: list[float]) -> list[float]:
    found = ranking(np.array(truth), np.array(score), np.ones((1, len(truth))))
    return [float(measure[0]) for measure in found]


@pytest.mark.parametrize(
    ("safe", "questions"),
    [(["safe"], ("concept", "harm")), ([], ("concept",)), (["safe", "theft"], ("concept",)),
     (["benign"], ("concept",))],
)  # fmt: skip
def test_harm_is_asked_where_both_kinds_were_learned(
    safe: list[str], questions: tuple[str, ...]
) -> None:
    assert questions_of({"safe", "theft"}, safe) == questions


def test_a_concept_that_was_never_learned_is_asked_for_harm_alone() -> None:
    asked = [is_asked(q, c, {"theft"}) for q in ("concept", "harm") for c in ("theft", "arson")]
    assert asked == [True, False, True, True]


def test_detection_worked_example_with_ties() -> None:
    """AUROC, average precision, false positive rate at 95 %, recall at 1 % and at 0.1 %."""
    truth = [True, True, False, False]
    assert ranked(truth, [0.5, 0.5, 0.5, 0.5]) == [0.5, 0.5, 1, 0, 0]
    part = [0.75, (1 + 2 / 3) / 2, 0.5, 0.5, 0.5]
    assert ranked(truth, [0.9, 0.4, 0.5, 0.1]) == pytest.approx(part)
    assert ranked(truth, [0.9, 0.8, 0.2, 0.1]) == [1, 1, 0, 1, 1]
    assert ranked(truth, [0.1, 0.2, 0.8, 0.9])[0] == 0


@pytest.mark.parametrize("truth", [[True, True], [False, False], []])
def test_a_single_class_has_no_ranking(truth: list[bool]) -> None:
    found = ranking(
        np.array(truth, bool), np.array([0.1, 0.9])[: len(truth)], np.ones((1, len(truth)))
    )
    assert np.isnan(found).all()
    assert np.isnan(roc_at(np.array(truth, bool), np.zeros(len(truth)), np.zeros(3))).all()


@given(st.integers(0, 1000))
def test_measures_on_resamples_are_scikit_learns(seed: int) -> None:
    """The oracle, with ties, on every resample by itself."""
    rng = np.random.default_rng(seed)
    truth, score = rng.random(30) < 0.4, rng.integers(0, 8, 30) / 8
    labels, predicted = rng.choice(["a", "b", "c"], (2, 30))
    counts = draw_resamples(30, 5, seed)
    auroc, precision, fpr95, *recalls = ranking(truth, score, counts)
    for row, weights in enumerate(counts):
        kept = weights > 0
        kwargs = {"y_true": truth[kept], "sample_weight": weights[kept]}
        if len(set(truth[kept])) == 2:
            assert auroc[row] == pytest.approx(roc_auc_score(y_score=score[kept], **kwargs))
            assert precision[row] == pytest.approx(
                average_precision_score(y_score=score[kept], **kwargs)
            )
            false, true, _ = roc_curve(y_score=score[kept], drop_intermediate=False, **kwargs)
            assert fpr95[row] == pytest.approx(false[true >= 0.95 - 1e-12].min())
            for rate, recall in zip(LOW_RATES, recalls, strict=True):
                assert recall[row] == pytest.approx(true[false <= rate + 1e-12].max())
        expected = f1_score(
            labels[kept], predicted[kept], average="macro", sample_weight=weights[kept],
            zero_division=0.0,
        )  # fmt: skip
        assert macro_f1(labels, predicted, counts)[row] == pytest.approx(expected)


@given(st.integers(0, 1000))
def test_harm_measures_are_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    harmful, score = rng.random(40) < 0.5, rng.integers(0, 20, 40) / 20
    harmful[:2] = True, False
    found = {name: v.value for name, v in
             harm_measures(score, harmful, CHOSEN, np.ones((1, 40))).items()}  # fmt: skip
    alarm, fewer = score >= 0.4, score >= 0.7
    assert np.isnan([found["fpr95"], found["tpr_at_1_percent"]]).all(), "of too few texts"
    assert found["accuracy"] == pytest.approx((alarm == harmful).mean())
    assert found["macro_f1"] == pytest.approx(
        f1_score(harmful, alarm, average="macro", zero_division=0.0)
    )
    assert found["auroc"] == pytest.approx(roc_auc_score(harmful, score))
    assert found["tpr"] == pytest.approx(alarm[harmful].mean())
    assert found["fpr"] == pytest.approx(alarm[~harmful].mean())
    assert found["tpr_for_5_percent"] == pytest.approx(fewer[harmful].mean())
    assert found["fpr_for_5_percent"] == pytest.approx(fewer[~harmful].mean())


@pytest.mark.parametrize(
    ("safe", "one_percent", "one_in_a_thousand"),
    [(99, "none", "none"), (100, "bare", "none"), (999, "bare", "none"), (1000, "whole", "bare"),
     (10_000, "whole", "whole")],
)  # fmt: skip
def test_recall_at_a_low_rate_needs_safe_texts(
    safe: int, one_percent: str, one_in_a_thousand: str
) -> None:
    """None where no safe text may raise an alarm, and no interval where fewer than ten may."""
    rng = np.random.default_rng(0)
    harmful = np.repeat([True, False], [30, safe])
    score = rng.random(len(harmful)) + harmful
    counts = np.vstack([np.ones(len(harmful)), rng.integers(1, 9, (20, len(harmful)))])
    found = harm_measures(score, harmful, CHOSEN, counts)
    for name, expected in (("1", one_percent), ("0_1", one_in_a_thousand)):
        own = found[f"tpr_at_{name}_percent"]
        assert own.is_defined == (expected != "none")
        if expected != "none":
            assert own.estimate().as_tree().keys() == {
                "bare": {"value"}, "whole": {"value", "low", "high"},
            }[expected]  # fmt: skip


def test_concepts_are_each_ranked_against_the_rest() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3], [0.6, 0.1, 0.3]])
    labels, classes = np.array(["a", "c", "b", "c"]), np.array(["a", "b", "c"])
    found = concept_measures(probabilities, classes, labels, ONCE)
    expected = [roc_auc_score(labels == c, probabilities[:, i]) for i, c in enumerate(classes)]
    assert found["auroc"].value == pytest.approx(np.mean(expected))
    assert found["accuracy"].value == 0.75


def test_a_concept_absent_from_test_has_no_say() -> None:
    """Nor does one that training never showed count as found."""
    probabilities = np.array([[0.7, 0.3, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0], [0.5, 0.5, 0.0]])
    labels = np.array(["a", "b", "a", "new"])
    found = concept_measures(probabilities, np.array(["a", "b", "c"]), labels, ONCE)
    assert found["auroc"].value == pytest.approx(
        np.mean(
            [
                roc_auc_score(labels == "a", probabilities[:, 0]),
                roc_auc_score(labels == "b", probabilities[:, 1]),
            ]
        )
    )
    assert found["accuracy"].value == 0.75
    assert found["macro_f1"].value == pytest.approx((0.8 + 1 + 0) / 3)


def test_a_roc_curve_is_the_best_recall_at_a_rate() -> None:
    harmful, score = np.array([1, 0, 1, 0], bool), np.array([0.9, 0.7, 0.5, 0.1])
    assert list(roc_at(harmful, score, np.array([0, 0.49, 0.5, 1]))) == [0.5, 0.5, 1, 1]


STREAMS = [np.array(own) for own in ([0.1, 0.9, 0.2], [0.8], [0.1, 0.2, 0.3], [0.1, 0.1, 0.1, 0.7])]
HARMFUL = np.array([True, True, True, False])


def test_time_to_detection_worked_example() -> None:
    chosen = Thresholds(0.6, {"5_percent": 0.85})
    found = {name: v.value for name, v in stream_measures(STREAMS, HARMFUL, chosen, ONCE).items()}
    assert found == pytest.approx(
        {
            "detected_for_5_percent": 1 / 3,
            "false_alarms_for_5_percent": 0,
            "detected": 2 / 3,
            "detected_at_prompt": 1 / 3,
            "false_alarms": 1.0,
            "tokens_to_detection": 0.5,
            "auroc": 2 / 3,
        }
    )


def test_nothing_detected_has_no_time() -> None:
    found = stream_measures(STREAMS, HARMFUL, Thresholds(0.95), ONCE)
    assert found["detected"].value == found["false_alarms"].value == 0
    assert np.isnan(found["tokens_to_detection"].value)


def test_streams_are_resampled_like_plain_loops() -> None:
    counts = draw_resamples(4, 30, seed=0)
    found = stream_measures(STREAMS, HARMFUL, Thresholds(0.6), counts)
    for row, weights in enumerate(counts):
        drawn = [i for i, weight in enumerate(weights) for _ in range(int(weight))]
        times = [int((STREAMS[i] >= 0.6).argmax()) for i in drawn if HARMFUL[i]
                 and STREAMS[i].max() >= 0.6]  # fmt: skip
        if times:
            assert found["tokens_to_detection"].values[row] == pytest.approx(np.mean(times))
        else:
            assert np.isnan(found["tokens_to_detection"].values[row])
