"""Which pictures a run has of its monitors: scores and metrics in, pictures by name out."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pipeline.core.concepts import spoken
from pipeline.core.records import ATTACKS, HEADLINE, UNATTACKED, Score
from pipeline.reporting.bars import grouped_bars
from pipeline.reporting.curves import cascade_curves, reliability_curves, roc_curves, searches
from pipeline.reporting.figures import ESTIMATE, SCORED_ON, Metrics, table, words_alone
from pipeline.reporting.heat_maps import score_tables
from pipeline.reporting.hiding_tables import AFTER, FITTED, SHOWN_ON
from pipeline.reporting.monitor_matrix import ALONE, AUROC, Cell, matrix_cells
from pipeline.reporting.short_headline import OF_RECALL
from pipeline.reporting.style import looks
from pipeline.reporting.svg import Picture

MATRICES = {
    "matrix": (AUROC, "the AUROC"),
    "recall": (OF_RECALL, "the recall at 1 % false alarms"),
}
ALARMS = {"tpr": "harm found", "fpr": "false alarms"}
RELIABILITY = {  # by what is asked: what is probable, and the share of texts of which it is so
    "harm": ("probability of harm", "share harmful"),
    "concept": ("probability of the likeliest concept", "share right"),
}


def of_monitors(
    scores: Mapping[str, Sequence[Score]], everyone: Sequence[str], position: str
) -> dict[str, Picture]:
    """What the headline monitor finds and how sure it may be, on test texts: of harm or, where no
    concept is safe, of each concept against the rest."""
    questions = {score.question for some in scores.values() for score in some}
    asked = "harm" if "harm" in questions else "concept"
    scored = asked, HEADLINE, position, "test"
    ranked, answered = [], []
    for variant, every in scores.items():
        some = [s for s in every if (s.question, s.monitor, s.position, s.group) == scored]
        classes = sorted({score.truth for score in some})
        shown = classes[:1] if asked == "harm" else classes  # `harmful` comes before `safe`
        ranked += [
            (variant, score.truth == name, score.probabilities[number])
            for score in some
            for number, name in enumerate(shown)
        ]
        answered += [(variant, *_said_and_so(score, asked, classes)) for score in some]
    styles = looks(everyone)
    return {
        "roc": roc_curves(pd.DataFrame(ranked, columns=["variant", "truth", "score"]), styles),
        "reliability": reliability_curves(
            pd.DataFrame(answered, columns=["variant", "probability", "so"]),
            styles,
            *RELIABILITY[asked],
        ),
    }


def _said_and_so(score: Score, asked: str, classes: Sequence[str]) -> tuple[float, bool]:
    """How likely a monitor finds harm, or the likeliest concept whatever a threshold makes of it;
    and whether the text is of it."""
    likeliest = 0 if asked == "harm" else int(np.argmax(score.probabilities))
    return score.probabilities[likeliest], classes[likeliest] == score.truth


def of_matrix(
    monitors: Mapping[str, Metrics], text_only: Metrics, compared: Sequence[str], position: str
) -> dict[str, Picture]:
    """Every monitor of the compared variants on every set of texts, words alone below them: its
    AUROC and, where harm is asked, its recall at 1 % false alarms."""
    some = {name: monitors[name] for name in compared}
    cells = list(matrix_cells(some, text_only, position))
    tables = {picture: _of_measure(cells, compared, of) for picture, (of, _) in MATRICES.items()}
    return {
        picture: score_tables(scores, MATRICES[picture][1])
        for picture, scores in tables.items()
        if not scores.empty and (picture != "recall" or "harm" in text_only)
    }


def _of_measure(cells: Sequence[Cell], compared: Sequence[str], measure: str) -> pd.DataFrame:
    own = [c for c in cells if c.measure == measure and c.monitor not in ALONE]
    words = [c for c in cells if c.measure == measure and c.monitor in ALONE]
    asked = {(cell.scored, cell.read_at) for cell in own}
    return pd.DataFrame(
        [
            (variant, cell.monitor, f"{spoken(cell.scored)}, {spoken(cell.read_at)}",
             cell.marks["value"])
            for variant in compared
            for cell in (*own, *words)
            if cell.variant in (variant, "") and (cell.scored, cell.read_at) in asked
        ],
        columns=["variant", "monitor", "scored", "value"],
    )  # fmt: skip


def of_alarms(
    monitors: Mapping[str, Metrics],
    text_only: Metrics,
    compared: tuple[str, ...],
    position: str,
    rate: str,
) -> dict[str, Picture]:
    """Every kind of monitor of the compared variants where its threshold, set on validation texts,
    is to keep to a rate of false alarms: what is found, and the rate that results; nothing where no
    concept is safe."""
    words = words_alone(text_only, "harm", position)
    panels = {  # what is measured on which texts, of those that are there
        f"{label}, {held_out}": (split, f"{measure}_for_{rate}")
        for split, held_out in SCORED_ON.items()
        for measure, label in ALARMS.items()
        if f"{measure}_for_{rate}" in words.get(split, {})
    }
    bars = table(
        (panel, kind.replace("_", " "), name, splits[split][number])
        for panel, (split, number) in panels.items()
        for name in compared
        for kind, splits in monitors[name].get("harm", {}).items()
        if number in splits.get(split, {})
    )
    if bars.empty:
        return {}
    heights = {panel: words[split][number]["value"] for panel, (split, number) in panels.items()}
    what = f"harm found and false alarms at thresholds for {rate.replace('_', ' ')}"
    return {"alarms": grouped_bars(bars, what, ("TF-IDF and logistic regression", heights))}


def of_hiding(
    hiding: Mapping[str, Metrics], text_only: Metrics, position: str, rate: str
) -> dict[str, Picture]:
    """What the saved monitor and a refitted one find once a model was trained further; nothing
    where none was."""
    words = words_alone(text_only, "harm", position)
    panels = {
        f"{label}, {monitor} monitor": (FITTED[monitor], measure)
        for measure, label in {
            f"tpr_for_{rate}": f"harm found at a threshold for {rate.replace('_', ' ')}",
            "auroc": "AUROC",
        }.items()
        for monitor in FITTED
    }
    bars = table(
        (panel, label, name, at[SHOWN_ON][measure])
        for panel, (fitted, measure) in panels.items()
        for name, tree in hiding.items()
        for when, label in AFTER.items()
        if when in tree
        # Before, the saved monitor is the fitted one.
        and measure
        in (at := tree[when].get("frozen" if when == "before" else fitted, {})).get(SHOWN_ON, {})
    )
    if bars.empty:
        return {}
    heights = {panel: words[SHOWN_ON][measure]["value"] for panel, (_, measure) in panels.items()}
    what = "what monitors find on test texts after further training"
    return {"hiding": grouped_bars(bars, what, ("TF-IDF and logistic regression", heights))}


def of_cascade(
    monitors: Mapping[str, Metrics], compared: tuple[str, ...], rate: str
) -> dict[str, Picture]:
    """What the headline monitor finds with a judge of words on what it is unsure of; nothing where
    there is no judge."""
    measures = {f"{name}_for_{rate}": label for name, label in ALARMS.items()}
    points = pd.DataFrame(
        [
            (label, group, name, at[f"sent_for_{rate}"]["value"],
             *(at[number][part] for part in ESTIMATE))
            for number, label in measures.items()
            for name in compared
            for group, shares in monitors[name].get("cascade", {}).items()
            for at in shares.values()
            if number in at
        ],
        columns=["measure", "group", "variant", "sent", *ESTIMATE],
    ).sort_values("sent", kind="stable")  # fmt: skip
    return {} if points.empty else {"cascade": cascade_curves(points, looks(list(compared)))}


def of_attacks(
    left: Mapping[str, Metrics], curves: Mapping[str, pd.DataFrame], rate: str
) -> dict[str, Picture]:
    """What attacks leave of every monitor at a threshold that kept to a rate of false alarms on
    validation texts, and how far each attack came; nothing where nothing was attacked.

    left: of every attacked variant. curves: passes, variant, value, low, high, by `ATTACK_MONITOR`.
    """
    number = f"tpr_for_{rate}"
    bars = table(
        (spoken(attack), spoken(monitor), name, by_attack[attack][number])
        for attack in (UNATTACKED, *ATTACKS)
        for name, tree in left.items()
        for monitor, by_attack in tree.items()
        if number in by_attack.get(attack, {})
    )
    points = [
        table.assign(attack=spoken(attack), monitor=spoken(name.removeprefix(f"{attack}_")))
        for attack in ATTACKS
        for name, table in curves.items()
        if name.startswith(f"{attack}_")
    ]
    pictures = {}
    if not bars.empty:
        what = f"harm found under attack at thresholds for {spoken(rate)}"
        pictures["under_attack"] = grouped_bars(bars, what)
    if points:
        pictures["searches"] = searches(pd.concat(points), looks(list(left)))
    return pictures
