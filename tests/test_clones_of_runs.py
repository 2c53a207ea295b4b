"""Benchmarks run the pipeline in clones, in which no number of another run may be read."""

from pathlib import Path

import pytest

from benchmarks.runs import clone_to_go_on, clone_without_results
from pipeline.core.console import InputError
from tests.support.clones import git


def test_a_clone_has_the_code_and_none_of_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = tmp_path / "origin"
    for name in ("stages/one.py", "metrics/monitors/base.json", "figures/light/a.svg", "dvc.lock"):
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_text("committed", encoding="utf-8")
    git(origin, "init", "-q")
    git(origin, "add", "-A")
    git(origin, "commit", "-qm", "run")
    monkeypatch.chdir(origin)
    clone = clone_without_results(tmp_path / "clone")
    assert [p.name for p in clone.rglob("*") if p.is_file() and ".git" not in p.parts] == ["one.py"]


def test_a_stopped_run_goes_on_in_its_clone_and_in_no_other_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    origin.mkdir()
    monkeypatch.chdir(origin)
    git(origin, "init", "-q")
    git(origin, "commit", "-qm", "one", "--allow-empty")
    (clone_to_go_on(clone) / "half.txt").write_text("done", encoding="utf-8")
    assert (clone_to_go_on(clone) / "half.txt").exists()
    git(origin, "commit", "-qm", "two", "--allow-empty")
    with pytest.raises(InputError, match=r"clone holds a run of \w+, and this is \w+; remove it"):
        clone_to_go_on(clone)
