"""docs/metrics.md explains every number of the headline, and shows every committed picture."""

import re

import pytest

from pipeline.reporting.glossary import MEANINGS
from tests.support.dag import ROOT

PAGE = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
PICTURES = [path.stem for path in (ROOT / "figures/light").glob("*.svg")
            if not path.stem.startswith("tokens_")]  # fmt: skip


@pytest.mark.parametrize("number", MEANINGS)
def test_every_number_is_explained(number: str) -> None:
    assert f"`{number}`" in PAGE


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_shown_once_in_light_and_dark(name: str) -> None:
    for theme in ("light", "dark"):
        assert PAGE.count(f"../figures/{theme}/{name}.svg") == 1


def test_no_picture_is_shown_without_words_for_who_cannot_see_it() -> None:
    assert len(re.findall(r'<img alt="[^"]{10,}"', PAGE)) == len(PICTURES)
