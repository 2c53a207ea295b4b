"""Params of a folder of tables, as tests write them."""

from pathlib import Path
from typing import Any

from pipeline.core.sections import CsvCorpora


def csv_corpora(folder: str | Path, **knobs: Any) -> CsvCorpora:
    """Prompts and responses labelled in a column `concept`, unless knobs say otherwise."""
    usual = {
        "texts": ("prompt", "response"), "label": "concept", "unlabelled": "", "names": {},
        "safe": (), "validation": 0.2, "test": 0.3,
    }  # fmt: skip
    return CsvCorpora(folder=str(folder), **usual | knobs)
