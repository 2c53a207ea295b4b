"""A picture says what it shows: an SVG with its description inside. Its only writer and reader."""

import html
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.files import whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DESCRIPTION = re.compile(r"<dc:description>(.*?)</dc:description>", re.DOTALL)


@dataclass(frozen=True)
class Picture:
    """A figure and what it shows in words, with its main numbers: its alternative text."""

    figure: "Figure"
    alt: str


def write_picture(path: Path, picture: Picture) -> None:
    """Write an SVG without a ground, and without the date or the library's version, which would
    change its bytes."""
    described = {"Description": picture.alt, "Date": None, "Creator": None}
    with whole(path) as draft:
        picture.figure.savefig(draft, format="svg", metadata=described, transparent=True)


def alt_of(path: Path) -> str:
    """What a picture's file says that it shows. Raises ValueError where it says nothing."""
    found = DESCRIPTION.search(path.read_text(encoding="utf-8"))
    if not found:
        raise ValueError(f"{path} does not say what it shows")
    return html.unescape(found[1])
