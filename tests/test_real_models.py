"""The study of pretrained models looks at no test text before it is scored, and counts rightly."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import real_changes, real_models_page, real_units
from benchmarks.real_measures import (
    Fold,
    States,
    best_probe,
    geometry,
    half_of,
    transported,
)
from benchmarks.real_models import Study
from pipeline.core.files import read_json, write_json
from pipeline.core.records import Example


def fold_and_states(apart: float) -> tuple[Fold, States]:
    """Two concepts that lie apart at layer 2, `last`, alone."""
    rng = np.random.default_rng(0)
    splits = ["train"] * 120 + ["validation"] * 60 + ["test"] * 60
    examples = [
        Example(str(i), f"p{i}", "", "", ("harm", "safe")[i % 2], split, "s")  # type: ignore[arg-type]
        for i, split in enumerate(splits)
    ]
    values = rng.normal(size=(2, 2, len(examples), 8)).astype(np.float32)
    values[1, 0, ::2] += apart
    return Fold(examples, ("safe",)), States(values, (1, 2), ("last", "mean"))


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


def unit_of(fold: Fold, right: int, silhouette: float) -> dict[str, Any]:
    """A unit of 60 test texts of which so many are right."""
    correct = "1" * right + "0" * (60 - right)
    place = {
        "centroid": correct, "knn": correct, "silhouette": [silhouette] * 60,
        "cosine_gap": 0.1, "coding_rate_gap": 0.1, "raw_cosine": 0.9,
    }  # fmt: skip
    return {
        "prompts": [str(i) for i in range(60)],
        "probe": {"correct": correct, "validation": 0.5},
        "geometry": {"last": place, "mean": place},
        "transport": {f"last_{n}": {"margin": n / 30, "gap": 1 - n / 60} for n in (right, 60)},
        "ability": correct,
        "processor_seconds": 1.0,
    }


def test_the_page_says_what_is_found_and_what_is_not_done() -> None:
    fold, _ = fold_and_states(0.0)
    every = {unit.name: unit for unit in real_units.units()}
    done = {
        every[f"smollm2-mmlu-{variant}-{number}"]: unit_of(fold, right, 0.2)
        for number in range(3)
        for variant, right in (("base", 30), (real_units.OURS, 45))
    }
    page = real_models_page.page(done)
    assert "| mmlu | 3 | +0.250 [" in page
    assert page.count("| yes |") == 1
    assert "| last | 3 | -1.000 | [-1.000, -1.000] |" in page, "the larger margin loses less"
    assert f"{len(every) - 6} of {len(every)} units" in page
    assert "smollm2-beavertails-base-0" in page.split("Not yet done")[1]


def tried(validation: float, kl: float) -> dict[str, Any]:
    return {"probe": {"best_validation": validation}, "kl_held_out": kl}


def test_the_setting_is_the_best_of_those_that_cost_little() -> None:
    dear, cheap, poor = tried(0.9, 0.06), tried(0.8, 0.05), tried(0.7, 0.01)
    assert real_units.best_of({"dear": dear, "cheap": cheap, "poor": poor}) == "cheap"
    assert real_units.best_of({"dear": dear, "dearer": tried(0.8, 0.07)}) == "dear"
    assert real_units.best_of({"even": tried(0.8, 0.04), "cheap": tried(0.8, 0.03)}) == "cheap"


def test_what_was_tried_after_a_miss_says_what_its_probes_are_fitted_on() -> None:
    every = {unit.name: unit for unit in real_units.units()}
    halves = tried(0.6, 0.04) | {"probe_of_unseen": {"best_validation": 0.65}}
    done = {every["smollm2-beavertails-remedy_halves-0"]: halves | {"processor_seconds": 1.0}}
    page = real_models_page.page(done)
    assert "| halves: half True | all training texts | 0.600 | 0.040 |" in page
    assert "| halves: half True | those of the other half | 0.650 | 0.040 |" in page
    assert "## beavertails" not in page, "no test text is scored"


def test_the_best_remedy_is_run_on_all_folds_if_it_beats_the_chosen_setting(tmp_path: Path) -> None:
    study = Study(tmp_path, tmp_path, tmp_path)
    (second, *_) = (unit for unit in real_units.units() if unit.kind == "remedied")
    for name in real_units.CANDIDATES:
        worth = 0.7 if name == "last" else 0.6
        write_json(study.file_of(f"smollm2-beavertails-setting_{name}-0"), tried(worth, 0.01))
    assert study.lacks(second), "which remedy is the best is not known"
    remedies = {name: tried(0.65, 0.01) for name in real_units.REMEDIES}
    remedies["halves"]["probe_of_unseen"] = {"best_validation": 0.7}
    for name, found in remedies.items():
        write_json(study.file_of(f"smollm2-beavertails-remedy_{name}-0"), found)
    assert study.remedy() is None, "as good is no better"
    assert not study.lacks(second)
    done = {unit: read_json(study.file_of(unit.name)) | {"processor_seconds": 1.0}
            for unit in real_units.units() if unit.kind == "remedy"}  # fmt: skip
    settings = {unit: read_json(study.file_of(unit.name)) | {"processor_seconds": 1.0}
                for unit in real_units.units() if unit.kind == "setting"}  # fmt: skip
    assert "None of them is better" in real_models_page.page(done | settings)
    remedies["halves"]["probe_of_unseen"]["best_validation"] = 0.75
    write_json(study.file_of("smollm2-beavertails-remedy_halves-0"), remedies["halves"])
    assert study.remedy() == ("halves", "probe_of_unseen")
    assert study.lacks(second)
    assert study.remedied("halves") == replace(real_units.CANDIDATES["last"], half=True)


def test_every_threshold_is_held_against_what_was_found() -> None:
    fold, _ = fold_and_states(0.0)
    done = {}
    for unit in real_units.units():
        if (unit.model, unit.corpus, unit.fold) != ("smollm2", "beavertails", 0):
            continue
        right = {"base": 30, real_units.OURS: 48, "shuffled": 33}
        silhouette = 0.3 if unit.variant == real_units.OURS else 0.2
        if unit.kind == "setting" or unit.variant in right:
            done[unit] = unit_of(fold, right.get(unit.variant, 40), silhouette) | {
                "kl_held_out": 0.04, "perplexity_held_out": 1.05,
                "kl_other": 0.0, "perplexity_other": 1.0,
            }  # fmt: skip
            done[unit]["probe"] |= {"best_validation": 0.5}
    page = real_models_page.page(done)
    assert "## In short" not in page, "words alone are not done"
    (words,) = (u for u in real_units.units() if u.name == "smollm2-beavertails-words-0")
    short = real_models_page.page(done | {words: unit_of(fold, 36, 0.0)}).split("## ")[1]
    (row,) = (line for line in short.splitlines() if line.startswith("| smollm2"))
    assert row.startswith("| smollm2 | beavertails | 1 | 0.600 | 0.500 | +0.300 [")
    assert " | +0.050 [" in row
    assert row.endswith(" | 0.040 |")
    rows = [
        line.split(" | ")[2:]
        for line in page.split("## Other thresholds")[1].splitlines()
        if line.startswith("| beavertails") and line.endswith(("| yes |", "| no |"))
    ]
    answers = {row[0].split(",")[0]: row[-1].strip(" |") for row in rows[:6]}
    assert answers == {
        "centroid": "yes", "silhouette": "no", "cosine_gap": "no",
        "kl held out": "yes", "perplexity held out": "no", "probe": "no",
    }  # fmt: skip


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
