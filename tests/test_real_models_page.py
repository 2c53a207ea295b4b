"""The page of the study of pretrained models says what its units found."""

import pytest

from benchmarks import real_models_page, real_units
from tests.support.study import fold_and_states, tried, unit_of


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


def test_what_was_tried_after_a_miss_says_what_its_probes_are_fitted_on() -> None:
    every = {unit.name: unit for unit in real_units.units()}
    halves = tried(0.6, 0.04) | {"probe_of_unseen": {"best_validation": 0.65}}
    done = {every["smollm2-beavertails-remedy_halves-0"]: halves | {"processor_seconds": 1.0}}
    page = real_models_page.page(done)
    assert "| halves: half True | all training texts | 0.600 | 0.040 |" in page
    assert "| halves: half True | those of the other half | 0.650 | 0.040 |" in page
    assert "## beavertails" not in page, "no test text is scored"


@pytest.mark.parametrize("better", [False, True])
def test_the_page_tells_what_the_best_remedy_gained_or_that_there_is_none(better: bool) -> None:
    fold, _ = fold_and_states(0.0)
    right = {"base": 30, "remedied": 48, real_units.OURS: 33}
    costs = dict.fromkeys(
        ("kl_held_out", "kl_other", "perplexity_held_out", "perplexity_other"), 0.5
    )
    done = {}
    for unit in real_units.units():
        known = (unit.model, unit.corpus, unit.fold) == ("smollm2", "beavertails", 0)
        if known and unit.variant in right and (better or unit.variant != "remedied"):
            done[unit] = unit_of(fold, right[unit.variant], 0.0) | costs
            done[unit]["probe"] |= {"best_validation": 0.7}
        if unit.kind == "remedy":
            done[unit] = tried(0.75 if better else 0.7, 0.01) | {"processor_seconds": 1.0}
    page = real_models_page.page(done)
    assert ("None of them is better" in page) != better
    assert ("`short`, with probes fitted on all training texts, less `base`, on 1 folds: +0.300"
            in page) == better  # fmt: skip
    assert ("smollm2-beavertails-remedied-1" in page) == better, "else it isn't wanted"


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
