"""Titles and legends as wide as there is room: nothing of a picture is cut at its edge.

Matplotlib's layout makes room for the labels of axes and ticks, and for the height of titles. It
makes none for the width of a title or of a legend: here a title is broken where its panel ends, and
a legend has fewer columns.
"""

import textwrap
from collections.abc import Sequence
from typing import Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Alignment = Literal["left", "center", "right"]
ALIGNMENTS: tuple[Alignment, ...] = ("left", "center", "right")
ROUNDS = 3  # a broken title takes height, which may move a panel's edge
FEWEST = 8  # characters of a line


def fit_titles(figure: Figure) -> None:
    """Break the titles of a figure's panels until each is as wide as its panel at most."""
    for _ in range(ROUNDS):
        engine = figure.get_layout_engine()
        if engine:
            engine.execute(figure)
        broken = [_broken(axis, alignment) for axis in figure.axes for alignment in ALIGNMENTS]
        if not any(broken):
            break


def _broken(axis: Axes, alignment: Alignment) -> bool:
    """Whether a title had to be broken, which then is."""
    words = axis.get_title(loc=alignment)
    if not words:
        return False
    title = axis.set_title(words, loc=alignment)
    wide, room = title.get_window_extent().width, axis.bbox.width
    if wide <= room:
        return False
    longest = max(map(len, words.splitlines()))
    fitting = max(FEWEST, int(longest * room / wide))
    lines = [part for line in words.splitlines() for part in textwrap.wrap(line, fitting)]
    title.set_text("\n".join(lines))
    return "\n".join(lines) != words


def fitting_legend(
    figure: Figure, handles: Sequence[Artist], names: Sequence[str], columns: int
) -> None:
    """One legend below all panels, in as many columns as the figure is wide enough for."""
    for number in range(min(len(handles), columns), 0, -1):
        legend = figure.legend(
            handles, names, loc="outside lower center", ncols=number, handlelength=3
        )
        if number == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
