"""A number in two runs: whether it moved more than seeds move it, and more than texts leave open.

Pure functions, of estimates {value, low, high} with `seeds_low` and `seeds_high` where a band over
seeds is known.
"""

import math
from dataclasses import dataclass

from pipeline.reporting.comparison import Marks

UNIT = 5e-7  # half of the sixth digit after the point


@dataclass(frozen=True)
class JudgedChange:
    """change: None where one of the runs has no such number. over_seeds, over_texts: in words,
    empty where nothing is known; clear: beyond both, as far as they are known."""

    change: float | None
    over_seeds: str
    over_texts: str
    mark: str
    clear: bool


def judged(before: Marks | None, after: Marks | None, better: str, seeds: int) -> JudgedChange:
    """From one run to another. better: `higher`, `lower` or `none`; seeds: how many the bands are
    of."""
    if not before or not after:
        return JudgedChange(None, "", "", "new" if after else "gone", False)
    change = after["value"] - before["value"]
    if abs(change) < UNIT:
        return JudgedChange(0.0, "", "", "same", False)
    reach = reach_of_seeds(after, seeds)
    texts = apart(before, after)
    over_seeds = (
        "" if reach is None else f"{'within' if abs(change) <= reach else 'beyond'} ±{reach:.3f}"
    )
    clear = texts is not False and (reach is None or abs(change) > reach)
    known = texts is not None or reach is not None
    mark = direction(change, better) if clear and known else "not clear"
    over_texts = "" if texts is None else "apart" if texts else "overlap"
    return JudgedChange(change, over_seeds, over_texts, mark, clear and known)


def reach_of_seeds(marks: Marks, seeds: int) -> float | None:
    """What 95 % of the differences of two runs do not exceed, t sd √2, from the band of one more
    run, mean ± t sd √(1 + 1/n); None where no band is known."""
    if "seeds_low" not in marks or seeds < 2:
        return None
    return (marks["seeds_high"] - marks["seeds_low"]) / 2 * math.sqrt(2 / (1 + 1 / seeds))


def apart(before: Marks, after: Marks) -> bool | None:
    """Whether two intervals over texts do not overlap; None where a number has none."""
    if "low" not in before or "low" not in after:
        return None
    return after["low"] > before["high"] or after["high"] < before["low"]


def direction(change: float, better: str) -> str:
    if better not in ("higher", "lower"):
        return "**moved**"
    return "**better**" if (change > 0) == (better == "higher") else "**worse**"
