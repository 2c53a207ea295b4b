"""The working tree as a repository of its own, with tiny params: what tests run `dvc repro` in."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from tests.support.dag import ROOT
from tests.support.tiny import VARIANTS, tiny_tree, write_params

PER_VARIANT = ("adapters", "representations")
ONCE = ("params", "corpora", "base_model", "texts", "pairs", "completions", "streams",
        "attacks", "robustness", "interpretations", "edits", "separation", "transport",
        "monitors", "further_training", "hiding", "verdicts", "safety", "fidelity", "selfie",
        "control", "summary", "figures", "report")  # fmt: skip
EVERY_STAGE = {*ONCE, *(f"{stage}@{name}" for stage in PER_VARIANT for name in VARIANTS)}
PRINTED = Path("work/printed.txt")
Edit = Callable[[Callable[[Any], object]], None]


def new_clone(folder: Path) -> Path:
    """A commit of all that git knows of, without results."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (ROOT / name).is_file() and not name.startswith(("tests/", "metrics/", "figures/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    write_params(folder / "params.yaml", tiny_tree())
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "tiny")
    return folder


def finished_clone(folder: Path, shared: Path) -> Path:
    """A copy of the one clone that was run from nothing, by whichever worker asks first."""
    run = shared / "finished"
    with FileLock(shared / "finished.lock"):
        if not run.exists():
            clone = new_clone(shared / "running")
            assert repro(clone) == EVERY_STAGE
            clone.rename(run)
    return Path(shutil.copytree(run, folder, symlinks=True))


@contextmanager
def editing(clone: Path) -> Iterator[Edit]:
    """Edits the clone's params.yaml; undone at the end."""
    before = (clone / "params.yaml").read_bytes()

    def edit(change: Callable[[Any], object]) -> None:
        tree = tiny_tree()
        change(tree)
        write_params(clone / "params.yaml", tree)

    try:
        yield edit
    finally:
        (clone / "params.yaml").write_bytes(before)


def git(folder: Path, *command: str) -> None:
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", *identity, *command], cwd=folder, check=True, capture_output=True)


def dvc(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "dvc", *command], cwd=folder, env=os.environ | {"PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def repro(folder: Path, *command: str) -> set[str]:
    """The stages that ran; what was printed is kept in PRINTED. Fails with it where one failed."""
    done = dvc(folder, "repro", *command)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / PRINTED).parent.mkdir(exist_ok=True)
    (folder / PRINTED).write_text(done.stdout + done.stderr, encoding="utf-8")
    return set(re.findall(r"Running stage '([^']+)'", done.stdout))


def digests(folder: Path) -> dict[str, str]:
    """Every result in the clone: what a mistake must not touch."""
    results = ("data", "models", "metrics", "figures", "report", "dvc.lock")
    files = [p for result in results for p in ([folder / result] if (folder / result).is_file()
             else (folder / result).rglob("*")) if p.is_file()]  # fmt: skip
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
