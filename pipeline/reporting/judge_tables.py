"""What judges of answers find, and what each is worth: rows of the page's tables."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

ORIGINS = {"sentences": "this project's sentences", "texts": "the corpus' held-out texts"}
QUESTIONS = {"refused": "refuses", "harmful": "is harmful"}
SHOWN_RATES = ("harmful_rate", "attack_success", "over_refusal_rate", "matched_refusal_gap")


class ErrorRow(NamedTuple):
    """How often a judge is wrong about labelled answers; None where none has such a label."""

    judge: str
    labelled: str
    question: str
    missed: Mapping[str, float] | None
    false_alarms: Mapping[str, float] | None
    unparsed: int


def error_rows(judges: Mapping[str, Any]) -> list[ErrorRow]:
    """judges: what the stage `safety` writes of them."""
    return [
        ErrorRow(
            judge,
            label,
            asked,
            errors.get("missed"),
            errors.get("false_alarms"),
            own["unparsed"],
        )
        for judge, origins in judges.items()
        for origin, label in ORIGINS.items()
        if (own := origins.get(origin))
        for question, asked in QUESTIONS.items()
        if (errors := own.get(question))
    ]


class FoundRow(NamedTuple):
    """What a judge finds in a variant's answers, sampled or greedy, to a set of prompts."""

    variant: str
    answers: str
    judge: str
    prompts: str
    rates: list[Mapping[str, float] | None]
    unparsed: int


def found_rows(safety: Mapping[str, Mapping[str, Any]]) -> list[FoundRow]:
    """safety: the metrics of behaviour of every variant that is shown."""
    return [row for variant, tree in safety.items() for row in _of_variant(variant, tree)]


def _of_variant(variant: str, tree: Mapping[str, Any]) -> Iterator[FoundRow]:
    for way, said in {"judges": "sampled", "greedy": "greedy"}.items():
        for judge, own in tree.get(way, {}).items():
            for prompts, rates in own.items():
                if prompts != "unparsed":
                    shown = [rates.get(name) for name in SHOWN_RATES]
                    yield FoundRow(variant, said, judge, prompts, shown, own["unparsed"])
