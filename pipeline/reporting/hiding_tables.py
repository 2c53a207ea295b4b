"""What monitors find once a model was trained further: rows and sentences of the page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.files import read_json
from pipeline.core.params import base_first
from pipeline.reporting.comparison import Marks, corrected, is_clear
from pipeline.reporting.short_headline import BASE

AFTER = {
    "before": "before",
    "hiding": "trained to hide",
    "no_hiding": "same steps, no hiding",
    "safe_answers": "trained on safe answers",
    "without_adapter": "its adapter taken away",
}
FITTED = {"saved": "frozen", "refitted": "refitted"}  # monitors, as they are called here
SHOWN_ON = "test"
WAYS = {"hiding": "training to hide", "safe_answers": "as many steps on safe answers"}

Hiding = Mapping[str, Mapping[str, Any]]  # the metrics of every variant that was trained further


def read_hiding(folder: Path) -> dict[str, Mapping[str, Any]]:
    """The metrics of every variant that was trained further, the untouched model's first; empty
    where none was."""
    found = {path.stem: read_json(path) for path in folder.glob("*.json")}
    return {name: found[name] for name in base_first(found)} if found else {}


class HidingRow(NamedTuple):
    """A model before or after further training, on test texts: harm found at the threshold, and
    AUROC, by the saved and by a refitted monitor; silhouette, and the divergence of its answers."""

    variant: str
    when: str
    numbers: list[Marks | None]


def hiding_rows(hiding: Hiding, rate: str) -> list[HidingRow]:
    """rate: of false alarms, as its name has it."""
    wanted = [
        *((monitor, SHOWN_ON, measure) for measure in (f"tpr_for_{rate}", "auroc")
          for monitor in ("frozen", "refitted")),
        ("states", SHOWN_ON, "silhouette"),
        ("answers", "kl"),
    ]  # fmt: skip
    return [
        HidingRow(name, label, [_at(tree[when], *path) for path in wanted])
        for name, tree in hiding.items()
        for when, label in AFTER.items()
        if when in tree
    ]


def protection(hiding: Hiding, rate: str) -> list[str]:
    """Whether a finetune protects the saved monitor, in a sentence for every compared variant and
    way of training further: by the paired difference from the untouched model, corrected for their
    number."""
    path = ("frozen", SHOWN_ON, f"tpr_for_{rate}")
    left = {
        (name, goal): [_at(part.get(goal, {}), *path) for part in (tree, hiding[BASE])]
        for name, tree in hiding.items()
        if name != BASE
        for goal in WAYS
    }
    apart = corrected({
        (name, goal): found
        for name, goal in left
        if (found := _at(hiding[name]["difference"].get(goal, {}), *path))
    })  # fmt: skip
    return [
        f"After {WAYS[goal]}, the saved monitor finds {other['value']:.3f} of harmful test texts "
        f"in {BASE} and {own['value']:.3f} in {name} ({_marked(apart[name, goal])}): "
        f"{_verdict(apart[name, goal])}."
        for (name, goal), (own, other) in left.items()
        if own and other and (name, goal) in apart
    ]


def _marked(apart: Marks) -> str:
    return f"{apart['value']:+.3f} [{apart['low']:+.3f}, {apart['high']:+.3f}]"


def _verdict(apart: Marks) -> str:
    if not is_clear(apart):
        return "the finetune gives it no protection that shows"
    return f"{'more' if apart['value'] > 0 else 'less'} is left of the finetuned model's monitor"


def _at(tree: Mapping[str, Any], *path: str) -> Any:
    for key in path:
        tree = tree.get(key, {})
    return tree or None
