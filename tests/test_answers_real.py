"""The benchmark of a pretrained model's answers: its page has what judges found, and no more."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import answers_real
from benchmarks.answers_real import SETS, rows_of, write_page
from benchmarks.monitors_real import VARIANTS


def marks(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.125, "high": value + 0.125, "of": 8}


def found(value: float) -> dict[str, Any]:
    """Of a rule that was shown two sets, and a judge of harm that was shown one."""
    rates = {"harmful_rate": marks(value), "refusal_gap": marks(1 - value)}
    harm = {"xstest": {"harmful_rate": marks(value)}, "unparsed": 0}
    judges = {"rule": {"own": rates, "xstest": rates, "unparsed": 0}, "probe": harm}
    return {
        "judges": judges,
        "helpfulness": marks(value),
        "agreement": {"rule_and_probe": marks(value)},
    }


SAFETY = {
    name: found(value) | {"difference": found(0.25)}
    for name, value in zip(VARIANTS, (0.25, 0.5, 0.75), strict=True)
}


def test_a_row_has_every_variant_and_the_difference() -> None:
    rows = list(rows_of(SAFETY, "harmful_rate"))
    assert [row[:4] for row in rows] == [
        ["sampled", "own", "rule", "8"],
        ["sampled", "xstest", "rule", "8"],
        ["sampled", "xstest", "probe", "8"],
    ]
    assert [cell.split()[0] for cell in rows[0][4:]] == ["0.250", "0.500", "**+0.250**", "0.750"]
    (row,) = rows_of(SAFETY, "refusal_gap")  # the other judge says none
    assert row[1] == "xstest", "which of the own prompts are harmless is not known"
    assert not list(rows_of(SAFETY, "over_refusal_rate"))


def test_the_page_says_what_judges_are_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers_real, "PAGE", tmp_path / "page.md")
    errors = {"harmful": {"missed": marks(0.125), "false_alarms": marks(0.5)}, "unparsed": 3}
    write_page(SAFETY, {"probe": {"texts": errors}}, "abc")
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "commit abc" in page
    assert "## What the judges are worth" in page
    (row,) = [line for line in page.splitlines() if "held-out texts" in line]
    assert ["0.125" in row, "0.500" in row, row.endswith("| 3 |")] == [True] * 3
    assert row.count("| 8 |") == 2, "a share says of how many"
    for line in ("| helpfulness | 0.250", "| rule and probe | 0.250"):
        assert page.count(line) == 1
    assert not any(name in page.split("## ")[1] for name in SETS[1:])
