"""Ranks are started as the environment says, and waited for as long as they are at work."""

import os
import sys
from pathlib import Path

import pytest

from pipeline.core.console import InputError
from pipeline.models import launching
from pipeline.models.launching import launched


def test_a_stage_is_launched_as_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.chdir(tmp_path)
    show = tmp_path / "show.py"
    show.write_text(
        "import os, sys; assert os.path.exists(os.environ['LEGIBLE_LAUNCHED']); "
        "open(sys.argv[1], 'w').write(' '.join(sys.argv[2:]))",
        "utf-8",
    )
    written = tmp_path / "a name"
    monkeypatch.setenv(launching.LAUNCH, f"{sys.executable} {show} '{written}' --nnodes 2")
    assert launched("stages.adapters", "base", processes=1)
    assert written.read_text("utf-8") == "--nnodes 2 -m stages.adapters base"
    assert launched("stages.completions", "", processes=1)
    assert written.read_text("utf-8") == "--nnodes 2 -m stages.completions"
    monkeypatch.setenv("RANK", "0")
    assert not launched("stages.adapters", "base", processes=1), "a rank launches none"
    assert not any((tmp_path / "work").iterdir())


def test_ranks_that_do_not_meet_end_a_launcher_that_waits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """torchrun waits for a missing node without a word."""
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(launching.WAIT, "1")
    sleep = f"{sys.executable} -c 'import time; time.sleep(60)'"
    monkeypatch.setenv(launching.LAUNCH, sleep)
    with pytest.raises(InputError, match="the ranks of this stage did not meet within 2 s; start"):
        launched("stages.adapters", "base", processes=1)


def test_ranks_that_met_may_work_for_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(launching.WAIT, "1")
    light = tmp_path / "light.py"  # as _say_met does, without torch, which takes seconds
    light.write_text(
        "import os, pathlib, time; "
        "pathlib.Path(os.environ['LEGIBLE_LAUNCHED']).write_text('met'); time.sleep(2)",
        "utf-8",
    )
    monkeypatch.setenv(launching.LAUNCH, f"{sys.executable} {light}")
    assert launched("stages.adapters", "base", processes=1)


def test_a_launcher_that_is_not_there_or_fails_ends_the_stage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv(launching.LAUNCH, "torchrunn --nnodes 2")
    with pytest.raises(InputError, match="LEGIBLE_LAUNCH begins with 'torchrunn', which is not"):
        launched("stages.adapters", "base", processes=1)
    monkeypatch.setenv(launching.LAUNCH, f"{sys.executable} -c 'import sys; sys.exit(3)'")
    with pytest.raises(SystemExit, match="3"):
        launched("stages.adapters", "base", processes=1)
    assert "RANK" not in os.environ
