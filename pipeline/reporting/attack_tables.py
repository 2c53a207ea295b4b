"""What attacks leave of monitors: rows of the page's table, and what is counted above it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.core.records import ATTACKS, UNATTACKED
from pipeline.reporting.comparison import Marks
from pipeline.reporting.short_headline import BASE


class AttackRow(NamedTuple):
    """The share of prompts that a monitor still finds under an attack, by variant, and its
    difference from the untouched model; what is there of both."""

    monitor: str
    attack: str
    found: Mapping[str, Marks]
    change: Mapping[str, Marks]


class ClearChanges(NamedTuple):
    """Of so many attacks on monitors, under how many a variant's interval says that more harm is
    found than on the untouched model, and under how many less."""

    more: int
    less: int
    attacks: int


def attack_rows(left: Mapping[str, Mapping[str, Any]], rate: str) -> list[AttackRow]:
    """left: what the stage `robustness` writes of each variant. Attacks that were made on another
    variant than the one that is scored stand below the others."""
    number, rows = f"tpr_for_{rate}", []
    changed = {name: tree.get("difference", {}) for name, tree in left.items()}
    for monitor in left.get(BASE, {}):
        attacks = {attack for tree in left.values() for attack in _at(tree, monitor)}
        others = sorted(attacks - {UNATTACKED, *ATTACKS})
        for attack in (UNATTACKED, *ATTACKS, *others):
            found, change = (
                {
                    name: marks
                    for name, tree in trees.items()
                    if (marks := _at(tree, monitor, attack, number))
                }
                for trees in (left, changed)
            )
            if found:
                rows.append(AttackRow(monitor, attack, found, change))
    return rows


def clear_changes(rows: Sequence[AttackRow], variant: str) -> ClearChanges:
    """Of attacks on the variant's own monitors of hidden states."""
    changes = [
        row.change[variant]
        for row in rows
        if row.attack in ATTACKS and variant in row.change and not row.monitor.startswith("words")
    ]
    return ClearChanges(
        sum(change["low"] > 0 for change in changes),
        sum(change["high"] < 0 for change in changes),
        len(changes),
    )


def _at(tree: Any, *path: str) -> Any:
    """What stands there, or nothing."""
    for name in path:
        tree = tree.get(name, {}) if isinstance(tree, Mapping) else {}
    return tree if isinstance(tree, Mapping) else {}
