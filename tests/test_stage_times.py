"""A run is timed stage by stage, as DVC says what it runs."""

import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.stage_times import timed_run
from pipeline.core.console import InputError

STAGES = """
stages:
  quick:
    cmd: echo done > quick.txt
    outs: [quick.txt]
  slow:
    foreach: [a, b]
    do:
      cmd: sleep 1 && {command} > ${{item}}.txt
      deps: [quick.txt]
      outs: ["${{item}}.txt"]
"""


def project(folder: Path, command: str) -> Path:
    (folder / "dvc.yaml").write_text(STAGES.format(command=command), encoding="utf-8")
    subprocess.run(["dvc", "init", "--quiet", "--no-scm"], cwd=folder, check=True)
    return folder


def test_every_stage_has_its_seconds_and_its_runs(tmp_path: Path) -> None:
    folder = project(tmp_path, "echo done")
    found = timed_run(folder, {})
    assert {name: stage.runs for name, stage in found.stages.items()} == {"quick": 1, "slow": 2}
    assert found.stages["slow"].seconds > 2  # it sleeps twice
    assert sum(stage.seconds for stage in found.stages.values()) < found.seconds
    assert asdict(found)["stages"]["slow"]["runs"] == 2  # as it is written down
    assert not timed_run(folder, {}).stages


def test_a_run_that_fails_is_not_timed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="failed"):
        timed_run(project(tmp_path, "false"), {})
