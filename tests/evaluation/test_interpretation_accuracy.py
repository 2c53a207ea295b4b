"""Interpretations' accuracy: worked examples, prompts that are drawn together, paired changes.

Longer than other files, as all that a reading is held against is measured together.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core.files import read_json
from pipeline.core.paths import (
    CLOSED_READINGS,
    EXAMPLES,
    INTERPRETATIONS,
    JUDGED,
    METRICS,
    MOVED_INTERPRETATIONS,
)
from pipeline.core.records import (
    AFFINE,
    AFFINE_CONTROLS,
    BASELINES,
    CONTROLS,
    CROSSINGS,
    REFERENCES,
    Example,
    Interpretation,
    Judged,
    write_records,
)
from pipeline.evaluation.bootstrap import draw_resamples
from pipeline.evaluation.interpretation_accuracy import (
    accuracies,
    interpretation_metrics,
    judge_measures,
    recalls,
)
from pipeline.evaluation.intervals import ProportionChange, share_of
from stages import selfie
from tests.support.tiny import VARIANTS, tiny_tree, write_params

KINDS = ("state", *CONTROLS, *BASELINES)
BRANCH = ("layer_1", "test", "last")


def said(example: str, control: str = "state") -> Interpretation:
    return Interpretation(example, "law", "test", 1, "last", control, "", (), ())


def shares_of(rights: Mapping[str, Any], prompts: Mapping[str, str], resamples: int = 200) -> Any:
    """Verdicts by kind, one for each of the prompts' examples."""
    records = [said(example, kind) for kind in rights for example in prompts]
    right = [bool(verdict) for kind in rights for verdict in rights[kind]]
    return accuracies(records, right, prompts, resamples, 0)


def drawn(count: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {kind: rng.random(count) < 0.1 + 0.1 * index for index, kind in enumerate(KINDS)}


def own_prompts(count: int) -> dict[str, str]:
    return {f"e{number}": f"p{number}" for number in range(count)}


def at(tree: Any, *keys: str) -> Any:
    for key in keys:
        tree = tree[key]
    return tree


def test_accuracy_is_read_beside_controls() -> None:
    """Every text with a prompt of its own: the plain mean's interval."""
    rights, prompts = drawn(40), own_prompts(40)
    tree = at(interpretation_metrics(shares_of(rights, prompts), None), *BRANCH)
    assert set(tree) == {*KINDS, "lead"}
    counts = draw_resamples(40, 200, 0)
    for kind, right in rights.items():
        assert tree[kind] == share_of(right.astype(float), counts).estimate().as_tree()


def test_texts_of_one_prompt_come_and_go_together() -> None:
    """Ten prompts of four equal texts each are ten texts, not forty."""
    few, many = drawn(10), own_prompts(10)
    repeated = {f"{name}-{copy}": prompt for name, prompt in many.items() for copy in range(4)}
    rights = {kind: np.repeat(right, 4) for kind, right in few.items()}
    alone = interpretation_metrics(shares_of(few, many), None)
    together = interpretation_metrics(shares_of(rights, repeated), None)
    for kind in (*KINDS, "lead"):
        assert at(together, *BRANCH, kind) == pytest.approx(at(alone, *BRANCH, kind))
    apart = interpretation_metrics(
        shares_of(rights, dict(zip(repeated, repeated, strict=True))), None
    )
    wide, narrow = (at(tree, *BRANCH, "state") for tree in (together, apart))
    assert wide["high"] - wide["low"] > 1.5 * (narrow["high"] - narrow["low"])


def test_the_lead_is_over_the_best_control_text_by_text() -> None:
    """Chosen by its value, of controls alone; a baseline may be better."""
    rights = dict.fromkeys(KINDS, (0, 0, 0, 0)) | {
        "state": (1, 1, 1, 0), "other": (1, 1, 0, 0), "random": (0, 0, 0, 1),
        "input_only": (1, 1, 1, 1),
    }  # fmt: skip
    shares = shares_of(rights, own_prompts(4))
    assert shares[*BRANCH, "lead"].value == 0.25
    expected = draw_resamples(4, 200, 0) @ np.array([0, 0, 1, 0]) / 4
    np.testing.assert_allclose(shares[*BRANCH, "lead"].values, expected)


def test_a_state_that_is_no_better_than_a_control_leads_by_nothing() -> None:
    same = (1, 0, 1, 0, 0)
    tree = at(
        interpretation_metrics(shares_of(dict.fromkeys(KINDS, same), own_prompts(5)), None), *BRANCH
    )
    assert tree["lead"]["value"] == 0 == tree["lead"]["low"] + tree["lead"]["high"]


def test_changes_are_paired_with_the_untouched_model() -> None:
    prompts, before, after = own_prompts(60), drawn(60), drawn(60)
    after["state"] = before["state"].copy()
    after["state"][:5] = ~after["state"][:5]
    then, now = shares_of(before, prompts), shares_of(after, prompts)
    tree = interpretation_metrics(now, then)
    change = at(tree, "difference", *BRANCH)
    assert set(change) == {"state", "lead", *BASELINES}
    assert (change["input_only"]["value"], change["input_only"]["p"]) == (0, 1), "the same answers"
    counts = draw_resamples(60, 200, 0)
    moved = after["state"].astype(float) - before["state"]
    expected = ProportionChange(counts @ moved / 60, 60)
    assert (change["state"]["low"], change["state"]["high"]) == pytest.approx(expected.interval())
    assert change["state"]["p"] == pytest.approx(expected.p_value())
    width = at(tree, *BRANCH, "state")
    assert change["state"]["high"] - change["state"]["low"] < width["high"] - width["low"]
    assert change["lead"]["value"] == pytest.approx(change["state"]["value"])
    nothing = at(interpretation_metrics(then, then), "difference", *BRANCH)
    assert nothing["state"]["value"] == nothing["lead"]["value"] == 0
    assert "difference" not in interpretation_metrics(then, None)


def test_crossings_stand_apart_and_the_state_is_held_against_each() -> None:
    """The law: own on own, less another's reading, text by text on the same resamples."""
    others = (*CROSSINGS, *REFERENCES)
    rng = np.random.default_rng(1)
    rights = drawn(40) | {name: rng.random(40) < 0.5 for name in others}
    shares = shares_of(rights, own_prompts(40))
    tree: Any = interpretation_metrics(shares, None)
    assert set(at(tree, "crossed", "test", "last")) == set(others)
    assert set(at(tree, *BRANCH)) == {*KINDS, "lead"}, "a layer holds what it held"
    assert set(at(tree, "ahead_of", "test", "last")) == {*others, *BASELINES}
    counts = draw_resamples(40, 200, 0)
    for name in (*others, *BASELINES):
        ahead = counts @ (rights["state"].astype(float) - rights[name]) / 40
        found = at(tree, "ahead_of", "test", "last", name)
        assert found == pytest.approx(ProportionChange(ahead, 40).as_change()), name


def test_a_state_is_ahead_of_its_own_reading_by_nothing() -> None:
    """The negative control: who says the same of every text, such as the untouched model of its
    own states, is neither ahead nor behind."""
    rights = drawn(40)
    rights |= dict.fromkeys((*CROSSINGS, *REFERENCES), rights["state"])
    tree: Any = interpretation_metrics(shares_of(rights, own_prompts(40)), None)
    for name in (*CROSSINGS, *REFERENCES):
        found = at(tree, "ahead_of", "test", "last", name)
        assert found["value"] == 0
        assert found["low"] == -found["high"]
        assert found["p"] == 1


def test_affine_reading_is_held_against_its_controls_and_a_taught_reader() -> None:
    """Text by text on the same resamples; the state is held against it, and no control of it
    against the state."""
    rng = np.random.default_rng(3)
    ways = (AFFINE, *AFFINE_CONTROLS, "reader_only")
    rights = drawn(40) | {name: rng.random(40) < 0.5 for name in ways}
    shares = shares_of(rights, own_prompts(40))
    tree: Any = interpretation_metrics(shares, shares)
    beside = ("state", "reader_only", *AFFINE_CONTROLS)
    assert set(at(tree, "affine_ahead_of", "test", "last")) == set(beside)
    counts = draw_resamples(40, 200, 0)
    for name in beside:
        ahead = counts @ (rights[AFFINE].astype(float) - rights[name]) / 40
        found = at(tree, "affine_ahead_of", "test", "last", name)
        assert found == pytest.approx(ProportionChange(ahead, 40).as_change()), name
    assert set(at(tree, "ahead_of", "test", "last")) == {*BASELINES, "reader_only", AFFINE}
    assert set(at(tree, "difference", "crossed", "test", "last")) == {AFFINE}
    assert {"affine_ahead_of", "ahead_of"}.isdisjoint(tree["difference"])


def test_topic_recall_hears_the_labels_words_whatever_else_is_said() -> None:
    """The worked example, at the asked layer alone: half of two words, and both beside others."""
    words = {"e0": "It is about drugs.", "e1": "weapons and drugs, not law", "e2": "law"}
    records = [
        Interpretation(name, "drugs_weapons", "test", 1, "last", control, text, (), ())
        for control in ("state", "reader_only")
        for name, text in words.items()
    ]
    records += [
        Interpretation("e0", "drugs_weapons", "test", 2, "last", "state", "weapons drugs", (), ())
    ]
    found = recalls(records, {name: name for name in words}, 20, 0)
    assert set(found) == {
        ("recall", "test", "last", control) for control in ("state", "reader_only")
    }
    assert found["recall", "test", "last", "state"].value == pytest.approx((0.5 + 1 + 0) / 3)


def test_what_a_finetune_does_falls_into_states_and_reader() -> None:
    """The worked example: own minus base is (a fixed reader of the tuned states minus base) plus
    (own minus the fixed reader), and what is the same for all variants does not change."""
    others = (*CROSSINGS, *REFERENCES)
    before = drawn(40) | dict.fromkeys(REFERENCES, np.ones(40, bool))
    before |= dict.fromkeys(CROSSINGS, before["state"])
    rng = np.random.default_rng(2)
    after = before | {"state": rng.random(40) < 0.6, "base_reader": rng.random(40) < 0.3}
    then, now = (shares_of(rights, own_prompts(40)) for rights in (before, after))
    tree: Any = interpretation_metrics(now, then)
    change = at(tree, "difference", "crossed", "test", "last")
    assert set(change) == {*CROSSINGS, "probe"} < set(others)
    whole = at(tree, "difference", *BRANCH, "state", "value")
    states = at(change, "base_reader", "value")
    reader = at(tree, "ahead_of", "test", "last", "base_reader", "value")
    assert whole == pytest.approx(states + reader)
    assert "ahead_of" not in tree["difference"]


def text(number: int, concept: str) -> Example:
    return Example(f"e{number}", f"p{number}", "yes", "no", concept, "test", "made")


def test_what_a_judge_is_worth() -> None:
    concepts = ["law", "law", "biology", "biology"] * 15
    examples = [text(number, concept) for number, concept in enumerate(concepts)]
    named = {("about law", "law"): 1, ("about biology", "biology"): 1}
    knows = {e.words: e.concept for e in examples} | {"about law": "law", "about biology": "law"}
    found = judge_measures(knows, named, examples, 100, 0)
    assert found["agreement"].value == 0.5
    assert found["words"].value == 1
    assert 0.4 < found["words_shuffled"].value < 0.6
    assert found["words_shuffled"].high < 0.8
    blind = dict.fromkeys(knows, "law")
    guessed = judge_measures(blind, named, examples, 100, 0)
    assert guessed["words"].value == guessed["words_shuffled"].value == 0.5
    assert "agreement" not in judge_measures(knows, {}, examples, 100, 0)


def test_a_text_weighs_as_often_as_it_was_said() -> None:
    """And is still one decision of the judge: to say it more often makes no interval narrower."""
    examples = [text(0, "law"), text(1, "biology")]
    often = {(f"law {number}", "law"): 1 + number % 7 for number in range(40)}
    knows = {e.words: e.concept for e in examples} | {
        said: "law" if number % 3 else "biology" for number, (said, _) in enumerate(often)
    }
    found = judge_measures(knows, often, examples, 400, 0)["agreement"]
    spelt_out = [knows[said] == "law" for (said, _), times in often.items() for _ in range(times)]
    assert found.value == pytest.approx(np.mean(spelt_out))
    assert found.value != pytest.approx(np.mean([knows[said] == "law" for said, _ in often]))
    thrice = {said: 3 * times for said, times in often.items()}
    assert judge_measures(knows, thrice, examples, 400, 0)["agreement"] == found
    naive = share_of(np.array(spelt_out, float), draw_resamples(len(spelt_out), 400, 0)).estimate()
    assert found.high - found.low > 1.3 * (naive.high - naive.low)


def test_the_judge_is_held_against_what_is_said_of_states_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over all variants; not against the logit lens' bare words, controls, or texts that name
    several concepts or none."""
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path / "params.yaml", tiny_tree())
    examples = [text(number, concept) for number, concept in enumerate(["law", "biology"] * 2)]
    write_records(EXAMPLES, examples)
    right, wrong, both = "it is law", "it is biology", "law or biology"
    for name, states in zip(
        VARIANTS, ((right, right, wrong, both), (right, right, right, "hm")), strict=True
    ):
        of_states = dict(zip([e.id for e in examples], states, strict=True))
        read = [
            Interpretation(e.id, e.concept, "test", 1, "last", control, said, (), ())
            for control in KINDS
            for e in examples
            for said in [of_states[e.id] if control == "state" else "biology"]
        ]
        write_records(INTERPRETATIONS / f"{name}.jsonl", read)
        write_records(MOVED_INTERPRETATIONS / f"{name}.jsonl", [])
        write_records(CLOSED_READINGS / f"{name}.jsonl", [])
    known = dict.fromkeys((right, wrong, both, "hm", "biology"), "law")
    known |= {e.words: "law" for e in examples}
    write_records(JUDGED, [Judged(*entry, ()) for entry in known.items()])
    selfie.main()
    agreement = read_json(METRICS / "judge.json")["agreement"]
    assert agreement["value"] == pytest.approx(5 / 6, abs=1e-6)


@pytest.mark.parametrize("judge", [True, False])
def test_the_stage_keeps_rule_and_judge_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: bool
) -> None:
    """The rule finds nothing in open words, the judge does; an empty text is wrong for both."""
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path / "params.yaml", tiny_tree())
    examples = [text(number, concept) for number, concept in enumerate(["law", "biology"] * 2)]
    write_records(EXAMPLES, examples)
    open_words = {"law": "what a court decides", "biology": "how cells divide"}
    for name, speaks in zip(VARIANTS, (False, True), strict=True):
        read = [
            Interpretation(e.id, e.concept, "test", 1, "last", control, said, (), ())
            for control in KINDS
            for e in examples
            for said in [open_words[e.concept] if speaks and control == "state" else ""]
        ]
        write_records(INTERPRETATIONS / f"{name}.jsonl", read)
        write_records(MOVED_INTERPRETATIONS / f"{name}.jsonl", [])
        write_records(CLOSED_READINGS / f"{name}.jsonl", [])
    known = {said: concept for concept, said in open_words.items()}
    known |= {e.words: "law" for e in examples}
    write_records(JUDGED, [Judged(*entry, ()) for entry in known.items()] if judge else [])
    selfie.main()
    base, tuned = (read_json(METRICS / "selfie" / f"{name}.json") for name in VARIANTS)
    assert at(tuned, *BRANCH, "state", "value") == 0
    assert at(tuned, "difference", *BRANCH, "lead", "value") == 0
    worth = read_json(METRICS / "judge.json")
    if judge:
        assert at(base, "judged", *BRANCH, "state", "value") == 0
        assert at(tuned, "judged", *BRANCH, "state", "value") == 1
        assert at(tuned, "judged", "difference", *BRANCH, "lead", "value") == 1
        assert set(worth) == {"words", "words_shuffled"}, "the rule decides nothing here"
        assert at(worth, "words", "value") == 0.5
    else:
        assert "judged" not in base
        assert "judged" not in tuned
        assert worth == {}
