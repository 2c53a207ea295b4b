"""A cheap monitor first, and a judge on what it is unsure of: what a share of judged texts buys.

The first monitor is unsure of a text whose logit lies near the threshold that it has for a rate of
false alarms. How near is decided on validation texts, so that a given share of them is sent on, and
so is the threshold of both together. A judge is anything that scores texts in [0, 1].
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.special import logit

from pipeline.core.files import KeyPath
from pipeline.core.rates import in_words
from pipeline.core.records import HEADLINE
from pipeline.core.representations import Flags, Vectors
from pipeline.evaluation.against_base import under
from pipeline.evaluation.bootstrap import Counts
from pipeline.evaluation.intervals import Statistic, share_of
from pipeline.evaluation.linear_probe import new_logistic
from pipeline.monitors.datasets import HARMFUL, Texts, VariantTexts
from pipeline.monitors.fitted import fit_at
from pipeline.monitors.metrics import Measures, share_within
from pipeline.monitors.thresholds import threshold_for

SHARES = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)  # of texts that the judge is sent: points of the curve


def cascade_measures(data: VariantTexts) -> dict[KeyPath, Statistic]:
    """The headline monitor and a judge of words on held-out texts, for every rate of false alarms
    and every share of SHARES, by their path in the tree of metrics; empty without a judge."""
    found: dict[KeyPath, Statistic] = {}
    if not data.judged:
        return found
    first = fit_at(data, "harm", HEADLINE, new_logistic())

    def read(texts: Texts) -> tuple[Vectors, Vectors, Flags]:
        judged = np.array([data.judged[name] for name in texts.ids])
        return first.harm(texts.vectors), judged, texts.labels == HARMFUL

    known = read(data.of("harm", HEADLINE, "validation"))
    for split, shown in data.held_out("harm", HEADLINE).items():
        own, counts = read(shown), data.counts(shown.ids)
        for rate, share in product(data.reading.false_alarms, SHARES):
            measures = choose_cascade(share, rate, *known).measure(*own, in_words(rate), counts)
            found |= under(("cascade", split, f"{in_words(share)}_sent"), measures)
    return found


@dataclass(frozen=True)
class Cascade:
    """near: texts are sent whose first logit is so far from `middle` or less. threshold: of the
    scores of both together."""

    middle: float
    near: float
    threshold: float

    def sent(self, first: Vectors) -> Flags:
        """Which texts [N] the judge is sent, by the first monitor's probabilities [N]."""
        sent: Flags = _distance(first, self.middle) <= self.near
        return sent

    def scores(self, first: Vectors, judged: Vectors) -> Vectors:
        """Scores [N] of both together: above 1 where the first monitor is sure of harm, below 0
        where it is sure of none, and between them the judge's."""
        sure = np.where(first >= self.middle, 2 + first, first - 2)
        return np.where(self.sent(first), judged, sure)

    def measure(
        self, first: Vectors, judged: Vectors, harmful: Flags, rate: str, counts: Counts
    ) -> Measures:
        """The share of texts that is sent, and how many of each kind raise an alarm."""
        alarm = self.scores(first, judged) >= self.threshold
        return {
            f"sent_for_{rate}": share_of(self.sent(first).astype(float), counts),
            f"tpr_for_{rate}": share_within(alarm, harmful, counts),
            f"fpr_for_{rate}": share_within(alarm, ~harmful, counts),
        }


def choose_cascade(
    share: float, rate: float, first: Vectors, judged: Vectors, harmful: Flags
) -> Cascade:
    """The cascade that sends a share of validation texts [N], and keeps to a rate of false alarms
    among them. The texts are of both kinds."""
    middle = threshold_for(rate, harmful, first)
    distances = np.sort(_distance(first, middle))
    sent = round(share * len(first))
    near = np.inf if sent == len(first) else distances[sent - 1] if sent else -1.0
    untuned = Cascade(middle, float(near), np.inf)
    together = untuned.scores(first, judged)
    return Cascade(middle, float(near), threshold_for(rate, harmful, together))


def _distance(first: Vectors, middle: float) -> Vectors:
    """How far probabilities are from the middle, in logits; none is quite 0 or 1."""
    bounds = np.finfo(np.float64).eps, 1 - np.finfo(np.float64).eps
    distance: Vectors = np.abs(logit(np.clip(first, *bounds)) - logit(np.clip(middle, *bounds)))
    return distance
