"""`make status`: what is stale and why, in a project of two stages, with its cache and without."""

import shutil
import subprocess
from pathlib import Path

import pytest

from commands.review.status import stage_states, status_page
from tests.support.clones import dvc, git
from tests.support.toy_project import commit, module, new_project


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_project(tmp_path_factory.mktemp("toy") / "project")


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy, in which each test changes what it likes."""
    return Path(shutil.copytree(finished, tmp_path / "project", symlinks=True))


def said(folder: Path) -> dict[str, str]:
    return {name: state.line() for name, state in stage_states(folder).items()}


FOLLOWS = "follows `toy`: runs if that gives something else"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_finished_run_is_up_to_date(project: Path) -> None:
    assert said(project) == {"toy": "up to date", "after": "up to date"}
    assert status_page(stage_states(project)).endswith("All 2 stages are up to date.")


def test_a_param_is_named_with_both_values_and_what_comes_after_follows(project: Path) -> None:
    edit(project / "params.yaml", "seed: 0", "seed: 7")
    assert said(project) == {"toy": "stale: param `seed` `0` → `7`", "after": FOLLOWS}


def test_a_changed_input_a_changed_command_and_a_new_stage_are_told_apart(project: Path) -> None:
    (project / "noise").write_text("other", encoding="utf-8")
    assert said(project)["toy"] == "stale: changed: `noise`"
    edit(project / "dvc.yaml", "python toy.py", "python -B toy.py")
    assert "is another in dvc.yaml" in said(project)["toy"]
    edit(project / "dvc.yaml", "  after:", "  later:")
    found = said(project)
    assert found["later"] == "stale: it was never run"
    assert found["after"] == "stale: it is no longer in dvc.yaml"


def test_results_that_were_edited_or_deleted_are_stale(project: Path) -> None:
    edit(project / "metrics/toy/base.json", "0.5", "0.9")
    assert said(project)["toy"].startswith(
        "stale: edited by hand, or made by another run: `metrics"
    )
    git(project, "checkout", "-q", ".")
    shutil.rmtree(project / "metrics/toy")
    assert said(project)["toy"] == "stale: missing: `metrics/toy`"


def test_what_one_stage_made_and_the_next_never_read_is_stale(project: Path) -> None:
    """DVC itself compares each stage with its own entry alone."""
    edit(project / "params.yaml", "seed: 0", "seed: 1")
    assert dvc(project, "repro", "-q", "--single-item", "toy").returncode == 0
    assert said(project) == {"toy": "up to date", "after": "stale: new from `toy`"}


def test_a_clone_without_a_cache_is_not_stale_for_that(project: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(project), str(clone)], check=True)
    assert said(clone) == {"toy": "up to date", "after": "up to date"}
    shown = module(clone, "commands.review.status")
    assert shown.returncode == 0, shown.stderr
    assert "not on this machine: data/states;" in shown.stdout
    edit(clone / "params.yaml", "seed: 0", "seed: 7")
    assert said(clone) == {"toy": "stale: param `seed` `0` → `7`", "after": FOLLOWS}


def test_faults_dvc_yaml_that_cannot_be_read_is_one_line(project: Path) -> None:
    edit(project / "dvc.yaml", "stages:", "stages: [")
    commit(project)
    done = module(project, "commands.review.status")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: DVC cannot read this project")
