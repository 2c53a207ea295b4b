"""Runs pooled over seeds: one setting, one row. Pure functions.

A setting is what the runs differ in, but for the seed. Its estimate of a number is the mean over
seeds. `low` and `high` are the ends of a run's interval over texts, averaged over seeds;
`seeds_low` and `seeds_high` are the 95 % interval of the mean by Student's t:
mean +- t(.975, n - 1) sd / sqrt(n). One seed has none.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import stdtr

from commands.sweep.experiments import Point
from pipeline.reporting.comparison import Marks, corrected
from pipeline.reporting.seed_band import deviation, quantile

VARIANT = "variant"  # what a row may differ in, beside its params
GAP_DIGITS = 9  # after the point, of a difference: metrics have six significant ones
FEWEST_SEEDS = 2  # seeds that a mean needs to have an interval


@dataclass(frozen=True)
class Setting:
    """values: what is varied, by dotted name; runs: by seed."""

    values: Mapping[str, object]
    runs: Mapping[int, Point]

    def estimate(self, number: str) -> Marks | None:
        """The mean over the seeds that have the number, with both intervals."""
        marks = [run.numbers[number] for run in self.runs.values() if number in run.numbers]
        if not marks:
            return None
        found = mean_over_seeds([one["value"] for one in marks])
        over_texts = [one for one in marks if "low" in one]
        if len(over_texts) == len(marks):
            found |= {end: mean_of([one[end] for one in marks]) for end in ("low", "high")}
        return found

    def values_of(self, number: str) -> list[float]:
        """One value a seed."""
        own = [run.numbers.get(number) for run in self.runs.values()]
        return [marks["value"] for marks in own if marks]


def pooled_settings(points: Sequence[Point]) -> tuple[list[Setting], list[str]]:
    """The points by what is varied, in its order; and which are left out, as a later run had the
    same params and seed."""
    varied = varied_params(points)
    several = len({point.variant for point in points}) > 1
    gathered: dict[str, tuple[dict[str, object], dict[int, Point]]] = {}
    left_out = []
    for point in points:
        values: dict[str, object] = {VARIANT: point.variant} if several else {}
        values |= {name: point.params[name] for name in varied if name in point.params}
        _, runs = gathered.setdefault(json.dumps(values, sort_keys=True), (values, {}))
        if point.seed in runs:
            former, later = runs[point.seed].experiment.name, point.experiment.name
            left_out.append(f"{former} has the params and the seed of {later}, which is later")
        runs[point.seed] = point
    found = [Setting(values, dict(sorted(runs.items()))) for values, runs in gathered.values()]
    order = [*dict.fromkeys(point.variant for point in points)]
    return sorted(found, key=lambda own: _rank(own.values, varied, order)), left_out


def varied_params(points: Sequence[Point]) -> list[str]:
    """The params that differ between runs of one variant."""
    by_variant: dict[str, list[Mapping[str, object]]] = {}
    for point in points:
        by_variant.setdefault(point.variant, []).append(point.params)
    return [
        *dict.fromkeys(
            name
            for first, *others in by_variant.values()
            for name in dict.fromkeys(key for own in (first, *others) for key in own)
            if any(own.get(name) != first.get(name) for own in others)
        )
    ]


def _rank(
    values: Mapping[str, object], varied: Sequence[str], variants: Sequence[str]
) -> tuple[int, list[tuple[list[float], str]]]:
    """Variants in their order; of params numbers by size, and all else by its letters."""
    variant = values.get(VARIANT)
    ranks = []
    for name in varied:
        value = values.get(name)
        parts = value if isinstance(value, list) else [value]
        numbers = [float(part) for part in parts if isinstance(part, int | float)]
        ranks.append((numbers, json.dumps(value)))
    return variants.index(str(variant)) if variant else 0, ranks


def mean_over_seeds(values: Sequence[float]) -> dict[str, float]:
    """The mean, and its interval of two or more."""
    if len(values) < FEWEST_SEEDS:
        return {"value": mean_of(values)}
    found = gap_over_seeds(values)
    return {"value": found["value"], "seeds_low": found["low"], "seeds_high": found["high"]}


def mean_of(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def differences_from(
    reference: Setting, settings: Sequence[Setting], numbers: Sequence[str]
) -> dict[tuple[int, str], Marks]:
    """Every other setting's numbers minus the reference's, seed by seed, by the setting's index:
    {value, low, high, p}, over the seeds that both have, if these are two or more. The p values are
    corrected for all of them together (Holm)."""
    found: dict[tuple[int, str], Marks] = {}
    for index, own in enumerate(settings):
        for number in numbers if own is not reference else ():
            pairs = [
                (own.runs[seed].numbers.get(number), run.numbers.get(number))
                for seed, run in reference.runs.items() if seed in own.runs
            ]  # fmt: skip
            gaps = [
                round(mine["value"] - theirs["value"], GAP_DIGITS)
                for mine, theirs in pairs
                if mine and theirs
            ]
            if len(gaps) >= FEWEST_SEEDS:
                found[index, number] = gap_over_seeds(gaps)
    return corrected(found)


def gap_over_seeds(gaps: Sequence[float]) -> dict[str, float]:
    """The mean of paired differences, or of any number, one a seed, two or more: its interval by
    Student's t, and how often chance alone would put it this far from 0; 1 where seeds do not
    differ."""
    mean, error = mean_of(gaps), deviation(gaps) / math.sqrt(len(gaps))
    reach = quantile(len(gaps) - 1) * error
    p = float(2 * stdtr(len(gaps) - 1, -abs(mean) / error)) if error else 1.0
    return {"value": mean, "low": mean - reach, "high": mean + reach, "p": p}
