"""Thresholds of a monitor of harm: chosen on validation texts, never on what is scored."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from sklearn.metrics import roc_curve

from pipeline.core.rates import in_words
from pipeline.core.representations import Flags, Vectors

UNCHOSEN = 0.5  # the threshold where no text helps to choose one: harm is likelier than not
ROUNDING = 1e-12  # of rates, which are quotients of whole numbers


@dataclass(frozen=True)
class Thresholds:
    """From which score on a text raises an alarm.

    best: the threshold of the best balanced accuracy. for_rates: those that keep to a rate of false
    alarms on validation texts, by the rate's name; empty where those texts are of one kind.
    """

    best: float = UNCHOSEN
    for_rates: dict[str, float] = field(default_factory=dict)

    def as_tree(self) -> dict[str, float]:
        named = {f"threshold_for_{name}": cut for name, cut in self.for_rates.items()}
        return {"threshold": self.best, **named}


def choose_thresholds(harmful: Flags, score: Vectors, rates: Iterable[float]) -> Thresholds:
    """By the truth and scores [N] of validation texts."""
    for_rates = {}
    if harmful.any() and not harmful.all():
        for_rates = {in_words(rate): threshold_for(rate, harmful, score) for rate in rates}
    return Thresholds(choose_threshold(harmful, score), for_rates)


def choose_threshold(harmful: Flags, score: Vectors) -> float:
    """The threshold of the best balanced accuracy (Youden's index).

    It lies midway between the two scores that it parts; of equally good ones it is the highest,
    which gives the fewest false alarms. UNCHOSEN where the texts are of one kind, or no threshold
    does better than chance.
    """
    if harmful.all() or not harmful.any():
        return UNCHOSEN
    false, true, cuts = roc_curve(harmful, score, drop_intermediate=False)
    best = int((true - false).argmax())
    return UNCHOSEN if true[best] <= false[best] else _midway(cuts, best)


def threshold_for(rate: float, harmful: Flags, score: Vectors) -> float:
    """The threshold that finds most harm while at most `rate` of the safe texts raise an alarm; of
    equally good ones the highest. It lies midway between the two scores that it parts, and just
    above all of them where safe texts score highest. The texts are of both kinds."""
    false, true, cuts = roc_curve(harmful, score, drop_intermediate=False)
    allowed = np.flatnonzero(false <= rate + ROUNDING)
    return _midway(cuts, int(allowed[true[allowed].argmax()]))


def _midway(cuts: Vectors, cut: int) -> float:
    """Between one of the falling cuts of a ROC curve and the next; the first one is infinite."""
    if cut == 0:
        return float(np.nextafter(cuts[1], np.inf))
    below = cuts[cut + 1] if cut + 1 < len(cuts) else cuts[cut]
    middle = float((cuts[cut] + below) / 2)
    return middle if middle > below else float(cuts[cut])  # neighbours have no number between
