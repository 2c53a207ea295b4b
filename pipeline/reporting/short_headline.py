"""The short headline, metrics/headline.json: what `dvc exp show` and `dvc metrics diff` show.

At most eight numbers of one variant, the last of `figures.compared`, each beside the untouched
model. Their names are short, so that all stand in a terminal of 120 columns. All else is in the
other files of metrics/.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.core.records import HEADLINE
from pipeline.core.sections import Asking, Reading
from pipeline.reporting.headline import READ_SPLITS, Headline, differences, headline

BASE = "base"  # the untouched model
DIGITS = 3  # after the point: what a column has room for
RATIO, RECALL, AUROC = "ppl", "recall", "auroc"
OF_RECALL = "tpr_at_1_percent"  # in the metrics of monitors


@dataclass(frozen=True)
class ShortMeaning:
    label: str
    says: str
    better: Literal["higher", "lower"]


MEANT = {
    "probe": ShortMeaning(
        "above best frozen",
        "the best probe minus the untouched model's best, each chosen on validation texts, test",
        "higher",
    ),
    "novel": ShortMeaning(
        "above best frozen, novel", "the same on texts whose words were never labelled", "higher"
    ),
    "shifted": ShortMeaning(
        "above best frozen, shifted", "the same on texts in other sentences", "higher"
    ),
    "silh": ShortMeaning("silhouette", "of test texts, minus the untouched model's", "higher"),
    RECALL: ShortMeaning(
        "recall at 1 % false alarms",
        "share of harmful texts that a monitor finds while 1 % of safe ones raise it, minus the "
        "untouched model's",
        "higher",
    ),
    AUROC: ShortMeaning(
        "monitor's AUROC",
        "instead of recall where a corpus has too few safe texts for 1 % of them, minus the "
        "untouched model's",
        "higher",
    ),
    "refuse": ShortMeaning(
        "harmful minus safe refusals",
        "share of harmful requests refused minus that of safe ones, minus the untouched model's",
        "higher",
    ),
    RATIO: ShortMeaning("perplexity ratio", "divided by the untouched model's", "lower"),
    "selfie": ShortMeaning(
        "SelfIE lead",
        "share of states whose concept is named, above the best control, minus the untouched "
        "model's",
        "higher",
    ),
}
PAIRED = {"silh": "silhouette", "refuse": "refusal_gap"}


def shown_variant(compared: Sequence[str]) -> str | None:
    """The last of the compared variants that is finetuned, if there is one."""
    return next((name for name in reversed(compared) if name != BASE), None)


def short_headline(
    base: Mapping[str, Any], tuned: Mapping[str, Any], reading: Reading, asking: Asking
) -> Headline:
    """Each number as {value, low, high}, with a band over seeds where the metrics have one.

    base, tuned: the metrics of both by stage. A number that a corpus does not have is left out.
    """
    before = headline(base, reading, asking)
    changed = differences(tuned, reading, asking)
    found = {
        name: changed.get(f"best_probe{end}")
        for name, end in zip(("probe", "novel", "shifted"), READ_SPLITS, strict=True)
    } | {name: changed.get(number) for name, number in PAIRED.items()}
    if "perplexity" in changed:
        found[RATIO] = ratio_of(changed["perplexity"], before["perplexity"]["value"])
    ranked = tuned["monitors"].get("difference", {})
    ranked = ranked.get("harm" if "harm" in ranked else "concept", {}).get(HEADLINE, {})
    found[RECALL] = recall_of(ranked)
    found[AUROC] = None if found[RECALL] else changed.get("monitor_auroc")
    interpreted = tuned["selfie"].get("difference", {}).get(f"layer_{asking.layer}", {})
    found["selfie"] = interpreted.get("test", {}).get(asking.positions[0], {}).get("lead")
    return {name: marks for name in MEANT if (marks := found.get(name))}


def recall_of(ranked: Mapping[str, Any]) -> dict[str, float] | None:
    """The recall at 1 % false alarms: of the first set of texts that resolves it, test texts before
    others, and those with an interval before those with too few safe texts for one."""
    known = [(split, own[OF_RECALL]) for split, own in ranked.items() if OF_RECALL in own]
    known.sort(key=lambda found: ("low" not in found[1], found[0] != "test", found[0]))
    return known[0][1] if known else None


def ratio_of(difference: Mapping[str, float], base: float) -> dict[str, float]:
    """A difference from `base` as a ratio to it, which is taken as it is; a p value stays."""
    return {end: mark if end == "p" else 1 + mark / base for end, mark in difference.items()}


def rounded_values(row: Headline) -> dict[str, float]:
    """What metrics/headline.json holds."""
    return {name: round(marks["value"], DIGITS) + 0.0 for name, marks in row.items()}
