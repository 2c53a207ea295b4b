"""Two estimates side by side: which way a number went, and whether intervals show it.

All variants read the same texts, so a change from the untouched model is judged by the paired
difference: clear where its 95 % interval over texts and its band over seeds lie on one side of 0,
and its p value, corrected for all that are judged with it, is below .05.
Where there is none, it is clear where neither the two intervals nor the two bands overlap, which is
stricter. Where no band is known, texts alone decide, and the change says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.reporting.glossary import MEANINGS
from pipeline.reporting.headline import Headline

# value, low, high; seeds_low, seeds_high where seeds are known; p of a difference
Marks = Mapping[str, float]
LEVEL = 0.05
Outcome = Literal["better", "worse", "moved", "unclear"]


@dataclass(frozen=True)
class Change:
    """From one estimate to another. `outcome` is `moved` where the change is clear and the number
    has no better side; `texts_only` where no band over seeds had a say."""

    before: float
    after: float
    difference: float
    outcome: Outcome
    texts_only: bool


@dataclass(frozen=True)
class BaselineChange:
    """A headline number that is not what the committed baseline says."""

    variant: str
    number: str
    change: Change


@dataclass(frozen=True)
class Line:
    """A number before and after, under its label, and their paired difference, if there is one. A
    divergence has nothing before."""

    label: str
    before: Marks | None
    after: Marks
    paired: Marks | None


@dataclass(frozen=True)
class Beside:
    """A variant's headline numbers beside the untouched model's, and their paired differences."""

    base: Headline
    tuned: Headline
    differences: Headline

    def known(self, numbers: Sequence[str]) -> list[str]:
        """Those that both have."""
        return [name for name in numbers if name in self.base and name in self.tuned]

    def judged(self, numbers: Sequence[str]) -> list[str]:
        """Those that both have and that can be better or worse than the untouched model's."""
        meant = {name: MEANINGS[name] for name in self.known(numbers)}
        return [name for name, own in meant.items() if own.compared and not own.divergence]

    def change(self, number: str) -> Change:
        return change_of(
            number, self.base[number], self.tuned[number], self.differences.get(number)
        )

    def line(self, number: str, label: str = "") -> Line:
        label = label or MEANINGS[number].label
        if not self.judged([number]):
            return Line(label, None, self.tuned[number], None)
        return Line(label, self.base[number], self.tuned[number], self.differences.get(number))

    def lines(self, numbers: Sequence[str]) -> list[Line]:
        return [self.line(number) for number in self.known(numbers)]


def change_of(number: str, before: Marks, after: Marks, paired: Marks | None = None) -> Change:
    """From one estimate to another; paired: the estimate of their difference."""
    difference, judged = after["value"] - before["value"], paired or _least_and_most(before, after)
    wish = MEANINGS[number].better
    outcome: Outcome = "unclear"
    if is_clear(judged):
        wished = {"higher": difference > 0, "lower": difference < 0}
        outcome = "moved" if wish not in wished else "better" if wished[wish] else "worse"
    return Change(before["value"], after["value"], difference, outcome, "seeds_low" not in judged)


def is_clear(difference: Marks) -> bool:
    """Whether the interval over texts, and the band over seeds if one is known, lie on one side
    of 0, both on the same one; and the p value, if there is one, is below LEVEL."""
    lows, highs = (
        [difference[name] for name in (end, f"seeds_{end}") if name in difference]
        for end in ("low", "high")
    )
    return (min(lows) > 0 or max(highs) < 0) and difference.get("p", 0.0) < LEVEL


def corrected(family: Mapping[Any, Marks]) -> dict[Any, Marks]:
    """Changes that are judged together, their p values corrected for their number.

    Holm's correction (1979): where no change is real, one or more of the family seems so in 5 of
    100 cases at most. The k-th smallest of m p values is multiplied by m - k + 1.
    """
    order = sorted((marks["p"], name) for name, marks in family.items() if "p" in marks)
    found, highest = dict(family), 0.0
    for left, (p, name) in zip(range(len(order), 0, -1), order, strict=True):
        highest = max(highest, min(1.0, left * p))
        found[name] = {**family[name], "p": highest}
    return found


def corrected_rows(rows: Mapping[str, Headline]) -> dict[str, Headline]:
    """The differences of every variant, corrected as one family."""
    family = {(name, number): marks for name, row in rows.items() for number, marks in row.items()}
    found: dict[str, Headline] = {name: {} for name in rows}
    for (name, number), marks in corrected(family).items():
        found[name][number] = dict(marks)
    return found


def _least_and_most(before: Marks, after: Marks) -> Marks:
    """From the nearest ends of two estimates to the farthest, as ends of their difference. What
    has no band, as a committed value, is taken as it is."""
    ends = {"low": after["low"] - before["high"], "high": after["high"] - before["low"]}
    if "seeds_low" in after:
        ends["seeds_low"] = after["seeds_low"] - before.get("seeds_high", before["value"])
        ends["seeds_high"] = after["seeds_high"] - before.get("seeds_low", before["value"])
    return ends


def changes_from_baseline(
    rows: Mapping[str, Headline], baseline: Mapping[str, Mapping[str, float]]
) -> list[BaselineChange]:
    """Where the run departs from the committed baseline, clear changes first.

    A baseline has no intervals: a change is clear where its value lies outside of the run's, and
    of the band over seeds.
    """
    found = []
    for variant, row in rows.items():
        for number, now in row.items():
            then = baseline.get(variant, {}).get(number)
            if then is not None and f"{then:.6g}" != f"{now['value']:.6g}":
                before = {"value": then, "low": then, "high": then}
                found.append(BaselineChange(variant, number, change_of(number, before, now)))
    return sorted(found, key=lambda moved: moved.change.outcome == "unclear")
