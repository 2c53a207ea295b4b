"""Estimates and tables in Markdown."""

import re
from collections.abc import Mapping, Sequence

from pipeline.reporting.comparison import is_clear


def said(
    estimate: Mapping[str, float],
    sign: str = "",
    *,
    joint: str = " ",
    short: bool = False,
    band: bool = True,
) -> str:
    """A number to three digits with its interval and its band, or nothing of no estimate.

    sign: "+" of a change, which is bold where it is clear. joint: what stands between. short: ends
    have two digits and no leading 0. band: whether to tell it.
    """
    if not estimate:
        return ""

    def ends(low: str, high: str) -> str:
        pair = f"[{estimate[low]:{sign}.{3 - short}f}, {estimate[high]:{sign}.{3 - short}f}]"
        return re.sub(r"\b0\.", ".", pair) if short else pair

    value = f"{estimate['value']:{sign}.3f}"
    value = f"**{value}**" if sign and is_clear(estimate) else value
    parts = [value, ends("low", "high")]
    if band:
        known = "seeds_low" in estimate
        parts.append(f"seeds {ends('seeds_low', 'seeds_high')}" if known else "texts only")
    return joint.join(parts)


def drawn(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def markdown_tables(text: str) -> list[str]:
    """The tables of a page."""
    return re.findall(r"(?:^\|.*\n)*^\|.*$", text, re.MULTILINE)
