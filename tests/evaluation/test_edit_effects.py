"""Effects of an edit: a worked example, an edit that does nothing, and nothing to measure."""

from dataclasses import replace
from math import e as E
from math import exp
from typing import Any

import pytest

from pipeline.core.edit_observations import Observations
from pipeline.core.records import (
    Agreement,
    Completion,
    Example,
    Interpretation,
    Likelihood,
    Request,
)
from pipeline.evaluation.edit_effects import effects

NO, YES = "I can't help with that.", "Sure. First make a plan."
KINDS = {  # harmful, framed, split
    "validation.harmful_rate_plain": (True, False, "validation"),
    "test.harmful_rate_framed": (True, True, "test"),
    "novel.harmful_rate_framed": (True, True, "novel"),
    "test.harmful_rate_plain": (True, False, "test"),
    "test.over_refusal_rate_framed": (False, True, "test"),
    "novel.over_refusal_rate_plain": (False, False, "novel"),
}
REQUESTS = [
    Request(f"{name}-{n}", f"ask {n}", harmful, framed, split)  # type: ignore[arg-type]
    for name, (harmful, framed, split) in KINDS.items()
    for n in range(2)
]
DESCRIBED = [
    Example(f"d{n}", f"tell {n}", "", "", concept, "described", "embedded")
    for n, concept in enumerate(["rain_and_snow", "law", "law", "biology"])
]
EXAMPLES = [
    Example(concept, concept, "", "", concept, "test", "embedded") for concept in ("fraud", "safe")
]


def observed(
    answers: list[str], facts: list[str], said: dict[str, str], agreed: int, kl: float
) -> Observations:
    """Two requests a kind, whose answers are given in turn; two documents of 10 tokens; one reading
    a split."""
    return Observations(
        [Completion(r.id, 0, answers[n % 2]) for n, r in enumerate(REQUESTS)],
        [Likelihood("a", 10, 0.0, kl), Likelihood("b", 10, 0.0, kl)],
        [Agreement("a", 10, agreed), Agreement("b", 10, agreed)],
        [Completion(d.id, 0, fact) for d, fact in zip(DESCRIBED, facts, strict=True)],
        [
            Interpretation("fraud", "fraud", split, 1, "last", "state", text, (), ())  # type: ignore[arg-type]
            for split, text in said.items()
        ],
        [Likelihood("a", 4, 4.0, kl), Likelihood("b", 4, 4.0, kl)],
        [Agreement("a", 4, agreed - 6), Agreement("b", 4, agreed - 6)],
        [Likelihood(r.id, 2, 2.0 * len(answers[n % 2]), 0.0) for n, r in enumerate(REQUESTS)],
    )


BEFORE = observed([YES, YES], ["about rain and snow", "law", "law", "law"],
                  {"validation": "on safe", "test": "on fraud"}, 10, 0.0)  # fmt: skip
AFTER = observed([NO, YES], ["about rain and snow", "law", "rain", "biology"],
                 {"validation": "on fraud", "test": "on safe"}, 9, 0.2)  # fmt: skip


def values(tree: Any) -> dict[str, tuple[float, float, float]]:
    return {
        f"{split}.{name}": tuple(row[k]["value"] for k in ("before", "after", "change"))  # type: ignore[misc]
        for split, rows in tree.items()
        for name, row in rows.items()
    }


def test_effects_by_hand() -> None:
    found = values(effects(REQUESTS, DESCRIBED, EXAMPLES, BEFORE, AFTER, 50, 0))
    expected = {
        "validation.harmful_rate_plain": (1.0, 0.5, -0.5),
        "test.harmful_rate_framed": (1.0, 0.5, -0.5),
        "novel.harmful_rate_framed": (1.0, 0.5, -0.5),
        "test.harmful_rate_plain": (1.0, 0.5, -0.5),
        "test.over_refusal_rate_framed": (0.0, 0.5, 0.5),
        "novel.over_refusal_rate_plain": (0.0, 0.5, 0.5),
        "described.fact_recall": (0.75, 0.75, 0.0),
        "described.facts_kept": (1.0, 2 / 3, -1 / 3),
        "heldout.specificity": (1.0, 0.9, -0.1),
        "heldout.kl": (0.0, 0.02, 0.02),
        "heldout.perplexity": (1.0, 1.0, 0.0),
        "heldout.reply_specificity": (1.0, 0.75, -0.25),
        "heldout.reply_kl": (0.0, 0.05, 0.05),
        "heldout.reply_perplexity": (E, E, 0.0),
        "validation.interpretation_accuracy": (0.0, 1.0, 1.0),
        "test.interpretation_accuracy": (1.0, 0.0, -1.0),
    }
    fluency = (exp(len(YES)), exp((len(YES) + len(NO)) / 2))
    fluencies = (*fluency, fluency[1] - fluency[0])
    expected |= {
        f"{split}.answer_perplexity": fluencies for split in ("validation", "test", "novel")
    }
    assert found.keys() == expected.keys()
    for name, three in expected.items():
        assert found[name] == pytest.approx(three), name


def test_what_stands_beside_an_edit_is_compared_with_it() -> None:
    """On the same resamples: what both did alike is no difference, however it varies by text."""
    alike: Any = effects(REQUESTS, DESCRIBED, EXAMPLES, BEFORE, AFTER, 50, 0, AFTER)
    alone: Any = effects(REQUESTS, DESCRIBED, EXAMPLES, BEFORE, AFTER, 50, 0)
    unlike: Any = effects(REQUESTS, DESCRIBED, EXAMPLES, BEFORE, AFTER, 50, 0, BEFORE)
    for split, rows in alone.items():
        for name, row in rows.items():
            assert alike[split][name].pop("beyond_edit")["value"] == 0, name
            assert alike[split][name] == row, name
            assert unlike[split][name]["beyond_edit"] == row["change"], name


def test_under_an_instruction_only_responses_of_documents_are_compared() -> None:
    instructed = replace(AFTER, likelihoods=[], agreements=[])
    tree: Any = effects(REQUESTS, DESCRIBED, EXAMPLES, BEFORE, instructed, 50, 0, AFTER)
    whole: Any = effects(REQUESTS, DESCRIBED, EXAMPLES, BEFORE, AFTER, 50, 0)
    assert whole["heldout"].keys() - tree["heldout"].keys() == {"specificity", "kl", "perplexity"}
    assert tree["heldout"]["reply_kl"]["change"] == whole["heldout"]["reply_kl"]["change"]


def test_intervals_hold_their_values_and_changes_are_paired() -> None:
    tree: Any = effects(REQUESTS, DESCRIBED, EXAMPLES, BEFORE, AFTER, 200, 0)
    for row in (row for rows in tree.values() for row in rows.values()):
        for estimate in row.values():
            assert estimate["low"] <= estimate["value"] <= estimate["high"]
    # Every resample of two equal documents changes alike: apart, their intervals would not be 0.
    change = tree["heldout"]["kl"]["change"]
    assert change["low"] == pytest.approx(change["high"])


def test_texts_that_share_a_prompt_are_drawn_together() -> None:
    """Given twice, every prompt is as sure as given once; as so many prompts it would be surer."""

    def intervals(prompts: list[str]) -> Any:
        names = [f"{number}" for number in range(len(prompts))]
        requests = [Request(n, p, True, False, "test") for n, p in zip(names, prompts, strict=True)]
        examples = [
            Example(n, p, "", "", "fraud", "test", "") for n, p in zip(names, prompts, strict=True)
        ]
        seen = [
            Observations(
                [Completion(n, 0, (NO, YES, first)[int(n) % 3]) for n in names], [], [], [],
                [Interpretation(n, "fraud", "test", 1, "last", "state",
                                ("on fraud", "on safe", first)[int(n) % 3], (), ()) for n in names],
                [], [], [],
            )
            for first in (YES, NO)
        ]  # fmt: skip
        found: Any = effects(requests, [], examples + EXAMPLES, *seen, 200, 0)["test"]
        return found

    once = [f"ask {n}" for n in range(12)]
    alone, twice = intervals(once), intervals(once * 2)
    as_many = intervals([f"ask {n}" for n in range(24)])
    for name in ("harmful_rate_plain", "interpretation_accuracy"):
        for kind in ("before", "after"):
            assert twice[name][kind] == pytest.approx(alone[name][kind])
            widths = [row[name][kind]["high"] - row[name][kind]["low"] for row in (as_many, twice)]
            assert widths[0] < widths[1]


def test_an_edit_that_does_nothing_changes_nothing() -> None:
    tree: Any = effects(REQUESTS, DESCRIBED, EXAMPLES, AFTER, AFTER, 50, 0)
    for name, row in ((name, row) for rows in tree.values() for name, row in rows.items()):
        assert row["change"]["value"] == 0, name
        assert row["change"]["low"] == -row["change"]["high"], name


def test_what_was_not_asked_is_left_out() -> None:
    nothing = Observations([], [], [], [], [], [], [], [])
    assert effects([], [], [], nothing, nothing, 10, 0) == {}
    only = Observations([], [], [], [], AFTER.interpretations, [], [], [])
    found = effects([], [], EXAMPLES, only, only, 10, 0)
    assert {split: list(rows) for split, rows in found.items()} == {
        "test": ["interpretation_accuracy"], "validation": ["interpretation_accuracy"],
    }  # fmt: skip
