"""Metrics of monitors and of words alone, as their stages write them: two kinds, some sets."""

from typing import Any

LONG = "shifted/" + "a set of texts with a very long name, " * 3
SETS = ("test", "shifted", LONG)
REQUESTS = ("plain_test", "framed_test")


def marks(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.125, "high": value + 0.125}


def measures(value: float) -> dict[str, Any]:
    """The recall at so few false alarms is told, and has no interval; accuracy is no cell."""
    at_threshold = {name: marks(value / 4) for name in ("tpr_for_low", "fpr_for_low")}
    told = {"auroc": marks(value), "tpr_at_1_percent": {"value": value / 2}} | at_threshold
    return told | {"accuracy": marks(0.5)}


def monitors(value: float, base: float | None = None, question: str = "harm") -> dict[str, Any]:
    """One variant's; a set of prompts alone is read at their end alone."""
    kinds = {
        kind: {"threshold": 0.5, **{name: measures(value) for name in SETS}}
        for kind in ("knn", "logistic")
    }
    tree: dict[str, Any] = {"layer": 1, question: kinds}
    if question == "harm":
        asked = (*(f"examples_{name}" for name in (*SETS, "shifted/prompts")), *REQUESTS)
        tree["shift"] = {"logistic": {"threshold": 0.5, **{n: measures(value) for n in asked}}}
    if base is not None:
        own = {"auroc": marks(value - base) | {"p": 0.5}}
        tree["difference"] = {question: {kind: dict.fromkeys(SETS, own) for kind in kinds}}
    return tree


def words(question: str = "harm") -> dict[str, Any]:
    asked = REQUESTS if question == "harm" else ()
    whole = {name: measures(0.75) for name in SETS}
    prompt = {name: measures(0.625) for name in (*SETS, "shifted/prompts", *asked)}
    return {
        question: {
            f"{part}{ending}": shown
            for part, shown in (("whole", whole), ("prompt", prompt))
            for ending in ("", "_characters")
        }
    }
