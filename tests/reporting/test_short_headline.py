"""The short headline: at most eight numbers, of one variant beside the untouched model, narrow."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.params import load_params
from pipeline.reporting.headline import read_metrics
from pipeline.reporting.short_headline import (
    BASE,
    MEANT,
    OF_RECALL,
    ratio_of,
    recall_of,
    rounded_values,
    short_headline,
    shown_variant,
)
from tests.support.dag import ROOT

PARAMS = load_params(ROOT / "params.yaml")
TUNED = shown_variant(PARAMS.figures.compared) or ""
TREES: dict[str, Any] = {name: read_metrics(ROOT / "metrics", name) for name in (BASE, TUNED)}


def short(tuned: Any) -> dict[str, dict[str, float]]:
    return short_headline(TREES[BASE], tuned, PARAMS.reading, PARAMS.asking)


def test_at_most_eight_numbers_with_names_as_narrow_as_their_values() -> None:
    assert len(MEANT) == 9, "recall or AUROC, never both"
    assert all(len(name) <= len("-0.123") + 1 for name in MEANT)
    row = {name: {"value": -0.123456} for name in MEANT}
    assert {*rounded_values(row).values()} == {-0.123}
    assert str(rounded_values({"silh": {"value": -1e-9}})["silh"]) == "0.0"


def test_the_numbers_are_those_of_the_committed_metrics() -> None:
    """Each read where it stands, by another road than the code's."""
    found = short(TREES[TUNED])
    best = [t["separation"]["probes"]["best"] for t in TREES.values()]
    for number, split in (("probe", "test"), ("novel", "novel"), ("shifted", "shifted")):
        before, after = (probes[split]["value"] for probes in best)
        assert found[number]["value"] == pytest.approx(after - before, abs=1e-5)
    before, after = (t["fidelity"]["perplexity"]["value"] for t in TREES.values())
    assert found["ppl"]["value"] == pytest.approx(after / before, abs=1e-5)
    gaps = [t["safety"]["refusal_gap"]["value"] for t in TREES.values()]
    assert found["refuse"]["value"] == pytest.approx(gaps[1] - gaps[0], abs=1e-5)
    asked = f"layer_{PARAMS.asking.layer}", "test", PARAMS.asking.positions[0]
    leads = [t["selfie"][asked[0]][asked[1]][asked[2]]["lead"]["value"] for t in TREES.values()]
    assert found["selfie"]["value"] == pytest.approx(leads[1] - leads[0], abs=1e-5)
    read = f"layer_{PARAMS.reading.layer}", PARAMS.reading.position
    apart = [
        t["separation"][read[0]][read[1]]["test"]["silhouette"]["value"] for t in TREES.values()
    ]
    assert found["silh"]["value"] == pytest.approx(apart[1] - apart[0], abs=1e-5)


def test_what_a_corpus_does_not_have_is_left_out() -> None:
    tree = json.loads(json.dumps(TREES[TUNED]))
    del tree["separation"]["difference"]["probes"]["best"]["novel"]
    del tree["safety"]["difference"]["refusal_gap"]
    del tree["selfie"]["difference"]
    assert short(tree).keys() == short(TREES[TUNED]).keys() - {"novel", "refuse", "selfie"}


def test_recall_at_a_low_rate_of_false_alarms_takes_the_place_of_auroc() -> None:
    """Where a corpus has too few safe texts to resolve the rate, AUROC stands there."""
    tree = json.loads(json.dumps(TREES[TUNED]))
    by_set = tree["monitors"]["difference"]["harm"]["logistic"]
    for measures in by_set.values():
        measures.pop("tpr_at_1_percent", None)
    assert short(tree)["auroc"] == by_set["test"]["auroc"]
    by_set["test"]["tpr_at_1_percent"] = {"value": 0.25}
    found = short(tree)
    assert found["recall"] == {"value": 0.25}, "it may have no interval"
    assert found.keys() & {"auroc"} == set()
    assert len(found) == 8


def test_recall_is_of_the_first_set_with_enough_safe_texts_for_an_interval() -> None:
    """Test texts before others, unless they have too few."""
    sure, bare = {"value": 0.5, "low": 0.4, "high": 0.6}, {"value": 0.25}
    of = {"test": bare, "shifted": {}, "shifted/everyday": sure}
    ranked = {split: {OF_RECALL: recall} if recall else {} for split, recall in of.items()}
    assert recall_of(ranked) == sure
    assert recall_of(ranked | {"test": {OF_RECALL: {**sure, "value": 0.45}}})["value"] == 0.45
    assert recall_of({"test": {}}) is None


def test_the_last_finetuned_variant_is_shown() -> None:
    assert shown_variant(["base", "one", "two"]) == "two"
    assert shown_variant(["two", "base"]) == "two"
    assert shown_variant(["base"]) is None


@given(st.floats(1, 100), st.floats(-0.5, 0.5), st.floats(0, 0.2))
def test_a_ratio_keeps_its_ends_in_order_and_1_is_no_change(
    base: float, value: float, reach: float
) -> None:
    found = ratio_of({"low": value - reach, "value": value, "high": value + reach, "p": 0.5}, base)
    assert found["low"] <= found["value"] <= found["high"]
    assert found["value"] == pytest.approx((base + value) / base)
    assert found["p"] == 0.5
    assert ratio_of({"value": 0.0}, base) == {"value": 1.0}


def test_it_is_the_only_metric_of_dvc() -> None:
    """Whatever else is declared as a metric would stand in the table of experiments as well."""
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert re.findall(r"metrics: \[(.*?):", text) == ["metrics/headline.json"]
