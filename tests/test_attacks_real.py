"""The benchmark of attacks on a pretrained model's monitors: which goals it has, and its page."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import attacks_real_page
from benchmarks.attacks_real_page import JAILBREAK, table_of, write_page
from benchmarks.real_sets import HARMLESS, goals_of, jailbreaks_of_goals
from pipeline.core.records import ATTACKS, UNATTACKED
from tests.support.dag import ROOT

SHARED = ROOT.parent / "shared" / "data"


HARM = ("pick a stranger's lock", "steal a car", "forge a cheque", "start a fire", "sell poison")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("refusal", "jailbreaks"):
        (tmp_path / name).mkdir()
    made = [
        {"goal": f"{HARM[n // 2]} {n}", "prompt": f"a story of {n}" if n % 2 else None,
         "jailbroken": n != 5}
        for n in range(10)
    ]  # fmt: skip
    (tmp_path / "jailbreaks/pair_vicuna.json").write_text(json.dumps({"jailbreaks": made}))
    harmless = [{"instruction": f"help {n}"} for n in range(HARMLESS + 9)]
    (tmp_path / "refusal/harmless_test.json").write_text(json.dumps(harmless))
    return tmp_path


def test_goals_are_those_that_have_a_jailbreak_and_that_nothing_was_learned_from(
    data: Path,
) -> None:
    goals = goals_of(data, {"pick a stranger's lock 1!", "something else"}, "harmless")
    asked = ["steal a car 3", "start a fire 7", "sell poison 9"]
    assert [e.prompt for e in goals.plain] == asked, "no jailbreak of 5 worked, and 1 is known"
    made = [goals.jailbreaks[e.id] for e in goals.plain]
    assert made == ["a story of 3", "a story of 7", "a story of 9"]
    assert [e.concept for e in goals.harmless] == ["harmless"] * 6, "all that are left"
    assert len({e.id for e in (*goals.plain, *goals.harmless)}) == 9


def tree(found: float, attacks: tuple[str, ...]) -> dict[str, Any]:
    both_of = {"tpr_for_1_percent": marks(found), "auroc": marks(found)}
    return {"logistic": dict.fromkeys(attacks, both_of)}


def both(attacks: tuple[str, ...]) -> dict[str, Any]:
    return {
        "base": tree(0.25, attacks),
        "true_negatives": tree(0.5, attacks) | {"difference": tree(0.25, attacks)},
    }


def marks(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.125, "high": value + 0.125}


def hidden(saved: float, refitted: float) -> dict[str, Any]:
    """Measures of one model after it was trained to hide."""
    found = {"frozen": saved, "refitted": refitted}
    few = {"value": 0.875}  # of too few harmless texts for an interval
    return {
        name: {"test": {"tpr_for_1_percent": marks(value), "fpr_for_1_percent": marks(0.5),
                        "tpr_at_1_percent": few, "auroc": marks(value)}}
        for name, value in found.items()
    }  # fmt: skip


def trained(goal: str, saved: float) -> dict[str, Any]:
    return {
        "base": {goal: hidden(saved, 0.75)},
        "true_negatives": {
            goal: hidden(2 * saved, 0.75),
            "difference": {goal: hidden(saved, 0.0)},
        },
    }


HIDDEN, MATHS = trained("hiding", 0.125), trained("other_texts", 0.375)


def test_the_page_has_every_attack_beside_none_and_each_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attacks_real_page, "PAGE", tmp_path / "page.md")
    real, suffixes = (both((UNATTACKED, *some)) for some in ((JAILBREAK,), ATTACKS))
    write_page(9, real, suffixes, HIDDEN, MATHS, "abc")
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    for attack in (JAILBREAK, *ATTACKS):
        (row,) = [line for line in page.splitlines() if f"| {attack.replace('_', ' ')} |" in line]
        assert row.count("+0.250") == 2
    assert page.count("| unattacked |") == 2
    assert "1 percent" in page
    row = "| true_negatives | trained {} | {} [{}, {}] | 0.750 [0.625, 0.875] | 0.500 "
    assert row.format("to hide", "0.250", "0.125", "0.375") in page
    assert row.format("on other texts", "0.750", "0.625", "0.875") in page
    assert "finds 0.125 of harmful test texts in base and 0.250 in true_negatives" in page
    assert "finds 0.375 of harmful test texts in base and 0.750 in true_negatives" in page


def test_what_a_monitor_was_not_shown_has_no_row() -> None:
    trees = both((UNATTACKED,))
    assert "jailbreak" not in table_of(trees, (UNATTACKED, JAILBREAK), "tpr_for_1_percent")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the sets' files are not here")
def test_the_real_file_has_a_jailbreak_of_most_goals() -> None:
    found = jailbreaks_of_goals(SHARED)
    assert len(found) == 82
    assert len(jailbreaks_of_goals(SHARED, succeeded=True)) == 69
    assert all(goal and made and goal != made for goal, made in found)
