"""A long loop says how far it is; a short one says nothing; neither changes its items."""

import re

import pytest
from rich.console import Console

from pipeline.core import console
from pipeline.core.console import progress


def test_items_pass_unchanged_and_a_short_loop_says_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert list(progress([1, 2], "counting")) == [1, 2]
    assert list(progress(iter("ab"), "counting", total=2)) == ["a", "b"]
    assert capsys.readouterr().err == ""


def test_without_a_terminal_a_line_every_so_often_gives_step_numbers_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(0, 10_000, 10))
    monkeypatch.setattr(console, "monotonic", lambda: next(ticks))
    steps = progress(range(10), "finetuning")
    for step in steps:
        steps.say(step=step, loss=1 / (step + 1))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3  # 10 s a step, a line every 30 s
    assert lines[0] == "finetuning: 2 of 10, step 1, loss 0.5, 0:02:00 left"


def test_a_loop_of_unknown_length_says_what_is_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(0, 10_000, 40))
    monkeypatch.setattr(console, "monotonic", lambda: next(ticks))
    list(progress(iter(range(3)), "reading"))
    assert capsys.readouterr().err.splitlines() == ["reading: 1", "reading: 2"]


def test_in_a_terminal_a_bar_shows_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Console(force_terminal=True, width=100, record=True, stderr=True)
    monkeypatch.setattr(console, "Console", lambda stderr: screen)
    steps = progress(range(4), "finetuning")
    for _ in steps:
        steps.say(gap=0.25)
    assert re.search(r"finetuning.*/4.*gap 0\.25", screen.export_text())
