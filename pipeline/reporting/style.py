"""How pictures look: light and dark, and legible without colour.

What colour tells apart, a marker, a dash or a hatch tells apart as well; every colour stands out
from its ground by a contrast of 3 at least (WCAG 2.2, 1.4.11). Pictures are drawn in light and
recoloured for the dark: one layout, two sets of inks.
"""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, cycle, islice

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font
from matplotlib.text import Text

from pipeline.reporting.fitting import fitting_legend

Colour = Sequence[float]
Dash = tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Theme:
    """Inks; pictures have no ground of their own, `paper` is what they are expected to lie on."""

    name: str
    paper: str
    ink: str
    quiet: str  # labels of axes, lines of reference
    rule: str  # grid lines


LIGHT = Theme("light", paper="#fdfdfc", ink="#1f2328", quiet="#59636e", rule="#d9dee3")
DARK = Theme("dark", paper="#0f1318", ink="#e6edf3", quiet="#9ba6b2", rule="#2b323b")

HUES = (0, 1, 2, 3, 4, 9, 5, 7)  # of seaborn's colour-blind palette; two are too pale for paper
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*")
DASHES: tuple[Dash, ...] = (
    (0, ()), (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (9, 2)),
)  # fmt: skip
HATCHES = ("", "////", "..", "\\\\\\\\", "xx", "--", "++")
LEGIBLE = 3.0
LONGEST_DRAWN = 28  # characters of a concept's name in a picture
OWN_FONT = f"{mpl.get_data_path()}/fonts/ttf/DejaVuSans.ttf"
HEX = re.compile("#[0-9a-f]{6}")


@dataclass(frozen=True)
class Look:
    """How one series looks: each of these sets it apart from the others."""

    colour: str
    marker: str
    dash: Dash
    hatch: str


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each name, in order; no two share marker and dash up to 45 names."""
    parts = (hues(LIGHT), MARKERS, DASHES, HATCHES)
    rows = zip(*(islice(cycle(part), len(names)) for part in parts), strict=True)
    return {name: Look(*row) for name, row in zip(names, rows, strict=True)}


def hues(theme: Theme) -> list[str]:
    """The palette, each colour mixed with ink until it stands out from the theme's paper."""
    palette = sns.color_palette("colorblind")
    return [legible(palette[hue], theme) for hue in HUES]


def legible(colour: Colour, theme: Theme) -> str:
    ink, plain = np.array(mpl.colors.to_rgb(theme.ink)), np.array(colour)
    mixtures = [(1 - share) * plain + share * ink for share in np.linspace(0, 1, 41)]
    return next(
        mpl.colors.to_hex(mixed)
        for mixed in mixtures
        if contrast_ratio(mpl.colors.to_hex(mixed), theme.paper) >= LEGIBLE
    )


def contrast_ratio(one: str, other: str) -> float:
    """WCAG's contrast of two colours, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """WCAG's relative luminance of an sRGB colour, 0 to 1."""
    parts = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def recoloured(svg: str) -> str:
    """A picture drawn in light, in the dark's inks; colours of neither stay."""
    inks = {getattr(LIGHT, name): getattr(DARK, name) for name in ("paper", "ink", "quiet", "rule")}
    inks |= dict(zip(hues(LIGHT), hues(DARK), strict=True))
    return HEX.sub(lambda found: inks.get(found[0], found[0]), svg)


@contextmanager
def style() -> Iterator[None]:
    """Seaborn's, in light; within it, equal pictures are equal bytes."""
    rules = {
        "text.color": LIGHT.ink,
        "axes.labelcolor": LIGHT.quiet,
        "axes.titlecolor": LIGHT.ink,
        "axes.edgecolor": LIGHT.quiet,
        "axes.facecolor": LIGHT.paper,
        "figure.facecolor": LIGHT.paper,
        "xtick.color": LIGHT.quiet,
        "ytick.color": LIGHT.quiet,
        "grid.color": LIGHT.rule,
        "hatch.color": LIGHT.paper,
        "hatch.linewidth": 0.9,
        "axes.grid": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 10,
        "axes.labelsize": 9,
        "font.size": 9,
        "legend.fontsize": 8.5,
        "legend.frameon": False,
        "lines.linewidth": 1.5,
        "lines.markersize": 4.5,
        "svg.fonttype": "path",  # the same on machines with other fonts; text_as says when not
        "svg.hashsalt": "legible",
        "text.parse_math": False,  # labels are anything that people type
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
    }
    with mpl.rc_context():
        sns.set_theme(context="paper", style="ticks", rc=rules)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            yield


def text_as(figure: Figure) -> str:
    """How a picture holds its text: as outlines, or as text where matplotlib's own font lacks a
    letter, for a font of its reader's to draw."""
    own = get_font(OWN_FONT).get_charmap()
    written = {ord(letter) for text in figure.findobj(Text) for letter in text.get_text()}
    return "path" if written <= {ord("\n"), *own} else "none"


def drawn_names(names: Sequence[str]) -> dict[str, str]:
    """What pictures call each of some names: the name, cut where it is long; none twice."""
    drawn: dict[str, str] = {}
    for name in names:
        short = name if len(name) <= LONGEST_DRAWN else f"{name[: LONGEST_DRAWN - 1]}…"
        taken = [*drawn.values()]
        same = (f"{short} {number}" for number in count(2))
        drawn[name] = short if short not in taken else next(n for n in same if n not in taken)
    return drawn


def legend_below(figure: Figure, panels: Iterable[Axes], columns: int = 4) -> None:
    """One legend under all panels, of every name that any of them shows."""
    found: dict[str, Artist] = {}
    for axis in np.ravel(np.array(panels)):
        handles, names = axis.get_legend_handles_labels()
        found |= dict(zip(names, handles, strict=True))
    if found:
        fitting_legend(figure, list(found.values()), list(found), columns)
