"""An edit beside an instruction and a steering vector of equal effect: rows of the page's table."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.core.edit_observations import INSTRUCTION, STEERING

BESIDE_EDITS = {"": "the edit", INSTRUCTION: "an instruction", STEERING: "a steering vector"}
# What an edit is meant to change, then what it is not: split, measure and heading.
EDIT_NUMBERS = (
    ("test", "harmful_rate_framed", "harmful requests answered, framed"),
    ("novel", "harmful_rate_framed", "the same in novel words"),
    ("test", "interpretation_accuracy", "states read as their concept"),
    ("test", "over_refusal_rate_plain", "safe requests refused"),
    ("heldout", "reply_specificity", "next tokens kept elsewhere"),
    ("heldout", "reply_kl", "KL elsewhere, nats a token"),
    ("described", "facts_kept", "facts kept"),
    ("test", "answer_perplexity", "perplexity of its answers"),
)

EDIT_HEADINGS = [heading for *_, heading in EDIT_NUMBERS]
BESIDE_EDIT = ("change", "beyond_edit")


class BesideRow(NamedTuple):
    """An edit, or what stands beside it: the change of each of EDIT_NUMBERS and, of what stands
    beside the edit, that change minus the edit's; each an estimate or None."""

    edit: str
    kind: str
    changes: list[Mapping[str, float] | None]
    beyond: list[Mapping[str, float] | None]


def beside_rows(control: Mapping[str, Mapping[str, Any]]) -> list[BesideRow]:
    """Of every edit that something stands beside. control: metrics by name of edit and baseline."""
    return [
        BesideRow(edit, label, *(_parts(control[f"{edit}{kind}"], p) for p in BESIDE_EDIT))
        for edit in control
        if f"{edit}{STEERING}" in control
        for kind, label in BESIDE_EDITS.items()
        if f"{edit}{kind}" in control
    ]


def _parts(tree: Mapping[str, Any], part: str) -> list[Mapping[str, float] | None]:
    return [tree.get(split, {}).get(measure, {}).get(part) for split, measure, _ in EDIT_NUMBERS]


def matches(control: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence on the strength of every steering vector."""
    return [
        _sentence(name.removesuffix(STEERING), tree["match"])
        for name, tree in control.items()
        if name.endswith(STEERING)
    ]


def _sentence(edit: str, match: Mapping[str, Any]) -> str:
    wanted, effect, strength = (match[key] for key in ("edit_effect", "effect", "strength"))
    if wanted == 0:
        return f"{edit} has no effect on validation texts that a vector could equal."
    found = f"{effect:+.3f} at {strength:g} times the difference of means"
    if match["is_reached"]:
        return f"{edit} has an effect of {wanted:+.3f} on validation texts, its vector {found}."
    return (
        f"No strength that was tried gives a vector the effect of {edit} on validation texts, "
        f"{wanted:+.3f}; the nearest is {found}."
    )
