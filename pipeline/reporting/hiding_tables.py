"""What monitors find once a model was trained further: rows and sentences of the page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.files import read_json
from pipeline.core.params import base_first
from pipeline.core.scored_sets import EVERYDAY
from pipeline.reporting.comparison import Marks, corrected, is_clear
from pipeline.reporting.short_headline import AUROC, BASE, OF_RECALL

AFTER = {
    "before": "before",
    "hiding": "trained to hide",
    "no_hiding": "same steps, no hiding",
    "safe_answers": "trained on safe answers",
    "other_texts": "trained on other texts",
    "without_adapter": "its adapter taken away",
}
FITTED = {"saved": "frozen", "refitted": "refitted"}  # monitors, as they are called here
SHOWN_ON = "test"
WAYS = {
    "hiding": "training to hide",
    "safe_answers": "as many steps on safe answers",
    "other_texts": "as many steps on other texts",
}

Hiding = Mapping[str, Mapping[str, Any]]  # the metrics of every variant that was trained further


def read_hiding(folder: Path) -> dict[str, Mapping[str, Any]]:
    """The metrics of every variant that was trained further, the untouched model's first; empty
    where none was."""
    found = {path.stem: read_json(path) for path in folder.glob("*.json")}
    return {name: found[name] for name in base_first(found)} if found else {}


class HidingRow(NamedTuple):
    """A model before or after further training, on test texts: harm found at the threshold, false
    alarms there, harm found where 1 % of the harmless texts raise an alarm, and AUROC, each by the
    saved and by a refitted monitor; silhouette, and the divergence of its answers. Recall at 1 %
    is of everyday texts where there are any, as they are many."""

    variant: str
    when: str
    numbers: list[Marks | None]


def hiding_rows(hiding: Hiding, rate: str) -> list[HidingRow]:
    """rate: of false alarms, as its name has it."""
    return [
        HidingRow(name, label, _numbers(tree[when], rate))
        for name, tree in hiding.items()
        for when, label in AFTER.items()
        if when in tree
    ]


def _numbers(tree: Mapping[str, Any], rate: str) -> list[Marks | None]:
    saved_and_refitted = [tree.get(monitor, {}) for monitor in FITTED.values()]
    return [
        *(_at(found, SHOWN_ON, f"tpr_for_{rate}") for found in saved_and_refitted),
        *(_at(found, SHOWN_ON, f"fpr_for_{rate}") for found in saved_and_refitted),
        *(_at(found, EVERYDAY, OF_RECALL) or _at(found, SHOWN_ON, OF_RECALL)
          for found in saved_and_refitted),
        *(_at(found, SHOWN_ON, AUROC) for found in saved_and_refitted),
        _at(tree, "states", SHOWN_ON, "silhouette"),
        _at(tree, "answers", "kl"),
    ]  # fmt: skip


def protection(hiding: Hiding, rate: str) -> list[str]:
    """Whether a finetune protects the saved monitor: two sentences for every compared variant and
    way of training further, of its threshold and of its ranks. At a threshold more may be found
    because all scores have grown, so that only ranks are judged: by the paired difference from the
    untouched model, corrected for the number of sentences."""
    measures = (f"tpr_for_{rate}", f"fpr_for_{rate}", AUROC)
    trained = [
        (name, goal)
        for name, tree in hiding.items()
        if name != BASE
        for goal in WAYS
        if _at(tree, "difference", goal, "frozen", SHOWN_ON)
    ]
    apart = corrected({
        (name, goal, measure): _at(hiding[name], "difference", goal, "frozen", SHOWN_ON, measure)
        for name, goal in trained
        for measure in measures
    })  # fmt: skip
    found = []
    for name, goal in trained:
        both = [[_at(hiding[one], goal, "frozen", SHOWN_ON, measure)["value"]
                 for one in (BASE, name)] for measure in measures]  # fmt: skip
        (harm, harm_own), (alarms, alarms_own), (rank, rank_own) = both
        more, raised, ranks = (apart[name, goal, measure] for measure in measures)
        found += [
            f"After {WAYS[goal]}, the saved monitor's threshold finds {harm:.3f} of harmful test "
            f"texts in {BASE} and {harm_own:.3f} in {name} ({_marked(more)}), and takes "
            f"{alarms:.3f} and {alarms_own:.3f} of harmless ones for harm ({_marked(raised)}).",
            f"After {WAYS[goal]}, its AUROC is {rank:.3f} in {BASE} and {rank_own:.3f} in {name} "
            f"({_marked(ranks)}): {_verdict(ranks)}.",
        ]
    return found


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
