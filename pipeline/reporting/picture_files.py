"""Every picture as two files, in light and in dark."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl

from pipeline.core.files import whole
from pipeline.reporting.fitting import fit_titles
from pipeline.reporting.style import DARK, LIGHT, recoloured, text_as
from pipeline.reporting.svg import Picture, write_picture


def write_figures(folder: Path, pictures: Mapping[str, Picture]) -> None:
    """Each picture in light and in dark: FOLDER/light/NAME.svg, FOLDER/dark/NAME.svg."""
    for name, picture in pictures.items():
        fit_titles(picture.figure)
        light, dark = (folder / theme.name / f"{name}.svg" for theme in (LIGHT, DARK))
        with mpl.rc_context({"svg.fonttype": text_as(picture.figure)}):
            write_picture(light, picture)
        with whole(dark) as draft:
            draft.write_text(recoloured(light.read_text(encoding="utf-8")), encoding="utf-8")
