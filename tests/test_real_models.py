"""The study of pretrained models looks at no test text before it is scored, and counts rightly."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import real_changes, real_models, real_units
from benchmarks.real_measures import (
    Fold,
    States,
    best_probe,
    geometry,
    half_of,
    transported,
)
from benchmarks.real_models import Study
from pipeline.core.files import write_json
from tests.support.study import fold_and_states, tried, unit_of


def test_the_probe_is_chosen_by_validation_texts_and_finds_what_is_there() -> None:
    fold, states = fold_and_states(apart=1.5)
    found = best_probe(states, fold)
    assert (found["layer"], found["position"]) in {(2, "last"), (2, "both")}
    assert found["correct"].count("1") > 50
    changed = [
        replace(e, concept="safe" if e.split == "test" else e.concept) for e in fold.examples
    ]
    again = best_probe(states, Fold(changed, ("safe",)))
    chosen = ("layer", "position", "strength", "validation", "harm")
    assert {k: again[k] for k in chosen} == {k: found[k] for k in chosen}
    nothing = best_probe(fold_and_states(apart=0.0)[1], fold)
    assert 15 < nothing["correct"].count("1") < 45
    moved = transported(states, fold)
    assert moved["last_2"]["margin"] > moved["mean_2"]["margin"]
    assert moved["last_2"]["gap"] < moved["mean_2"]["gap"]
    placed = geometry(states, fold, layer=2)
    assert placed["last"]["cosine_gap"] > 0.3 > 0.1 > abs(placed["mean"]["cosine_gap"])


def test_probes_can_be_fitted_on_the_half_that_a_finetune_never_saw() -> None:
    fold, states = fold_and_states(apart=1.5)
    seen = half_of(fold)
    assert 0.3 < seen.sum() / fold.of("train").sum() < 0.7
    assert not (seen & ~fold.of("train")).any()
    again, _ = fold_and_states(apart=0.0)
    same_prompts = [replace(e, id=f"{e.id}b", response="else") for e in again.examples]
    assert (half_of(Fold(same_prompts, ("safe",))) == seen).all(), (
        "answers to a prompt stay together"
    )
    unseen = fold.of("train") & ~seen
    changed = [
        replace(e, concept="safe") if own else e for e, own in zip(fold.examples, seen, strict=True)
    ]
    found = best_probe(states, fold, unseen)
    assert best_probe(states, Fold(changed, ("safe",)), unseen) == found
    assert best_probe(states, fold) != found


def test_the_setting_is_the_best_of_those_that_cost_little() -> None:
    dear, cheap, poor = tried(0.9, 0.06), tried(0.8, 0.05), tried(0.7, 0.01)
    assert real_units.best_of({"dear": dear, "cheap": cheap, "poor": poor}) == "cheap"
    assert real_units.best_of({"dear": dear, "dearer": tried(0.8, 0.07)}) == "dear"
    assert real_units.best_of({"even": tried(0.8, 0.04), "cheap": tried(0.8, 0.03)}) == "cheap"


def test_the_best_remedy_is_run_on_all_folds_if_it_beats_the_chosen_setting(tmp_path: Path) -> None:
    study = Study(tmp_path, tmp_path, tmp_path)
    every = {unit.name: unit for unit in real_units.units()}
    (second, *others) = (unit for unit in every.values() if unit.kind == "remedied")
    wanted = {name: tried(0.6, 0.01) for name in second.needs}
    wanted["smollm2-beavertails-setting_last-0"] = tried(0.8, 0.01)
    wanted[real_units.CHOSEN] = tried(0.7, 0.01) | {"probe": {"best_validation": 0.7}}
    halves = wanted["smollm2-beavertails-remedy_halves-0"]
    for better in (0.7, 0.75):
        halves["probe_of_unseen"] = {"best_validation": better}
        assert study.lacks(second), "which remedy is the best is not known"
        for name, found in wanted.items():
            write_json(study.file_of(name), found)
        if better == 0.7:
            assert study.remedy() is None, "as good is no better"
            assert not study.lacks(second)
            assert not study.tried(second)
            for name in wanted:
                study.file_of(name).unlink()
    assert study.remedy() == ("halves", "probe_of_unseen")
    assert study.lacks(second)
    assert study.remedied("halves") == replace(real_units.CANDIDATES["last"], half=True)
    assert len(others) == 4


def test_a_remedied_units_probes_are_fitted_on_the_texts_that_chose_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold, states = fold_and_states(0.5)
    (second, *_) = (unit for unit in real_units.units() if unit.kind == "remedied")
    asked: dict[str, Any] = {}

    class Tuned:
        reading_layer = 2

        def __init__(self, *_: Any) -> None: ...

        def tuned(self, name: str, variant: str, fold: Fold, setting: Any, number: int) -> Any:
            asked.update(name=name, variant=variant, setting=setting)
            return states, {}

    def probed(states: States, fold: Fold, fitted: Any = None) -> dict[str, Any]:
        asked["fitted"] = fitted
        return {}

    for name, value in {
        "Bench": Tuned, "best_probe": probed, "read_folds": lambda *_: [],
        "split_by": lambda *_: fold.examples, "other_texts": lambda *_: [],
        "questions_among": lambda *_: [],
    }.items():  # fmt: skip
        monkeypatch.setattr(real_models, name, value)
    study = Study(tmp_path, tmp_path, tmp_path)
    monkeypatch.setattr(Study, "setting", lambda *_: real_units.CANDIDATES["last"])
    for probe, held in {
        "probe": None,
        "probe_of_unseen": fold.of("train") & ~half_of(fold),
    }.items():
        monkeypatch.setattr(Study, "remedy", lambda *_, probe=probe: ("halves", probe))
        found = study.done(second)
        assert (found["remedy"], found["probe_of"]) == ("halves", probe)
        assert asked["variant"] == real_units.OURS
        assert asked["setting"].half
        assert (asked["fitted"] is None) if held is None else (asked["fitted"] == held).all()


def test_units_have_their_own_names_and_need_what_comes_before_them() -> None:
    names: list[str] = []
    for unit in real_units.units():
        assert unit.name not in names
        assert set(unit.needs) <= set(names)
        names.append(unit.name)


def test_equal_units_differ_by_nothing() -> None:
    fold, _ = fold_and_states(0.0)
    same = unit_of(fold, 30, 0.2)
    change = real_changes.change(real_changes.accuracy, [(same, same)] * 3)
    assert (change.value, change.low, change.high, change.p) == (0, 0, 0, 1)


def test_questions_that_all_folds_share_are_drawn_once_for_all() -> None:
    right, wrong = ({"ability": bit * 60} for bit in "10")
    asked = {"ability": "1" * 45 + "0" * 15}
    pairs = [(real_changes.asked_of(asked), real_changes.asked_of(wrong))] * 5
    apart = real_changes.change(real_changes.accuracy, pairs)
    together = real_changes.change(real_changes.accuracy, pairs, together=True)
    assert apart.value == together.value == 0.75
    width = 2 * 1.96 * (0.75 * 0.25 / 60) ** 0.5  # of one draw of 60 questions
    assert together.high - together.low == pytest.approx(width, rel=0.15)
    assert apart.high - apart.low < 0.75 * width
    sure = real_changes.change(
        real_changes.accuracy, [(real_changes.asked_of(right), real_changes.asked_of(wrong))], True
    )
    assert (sure.low, sure.high) == (1, 1)
