"""A project of two small stages, run by DVC in a moment: numbers that follow the seed, a table."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.clones import dvc, git
from tests.support.dag import ROOT
from tests.support.no_network import PYTHON_PATH
from tests.support.tiny import tiny_tree, write_params

STAGE = """
import json, pathlib, re
noise = 1e-3 if pathlib.Path("noise").read_text() == "other" else 0
seed = int(re.search(r"^seed: (\\d+)", open("params.yaml").read(), re.M)[1])
pathlib.Path("metrics/toy").mkdir(parents=True, exist_ok=True)
number = {"value": 0.5 + seed % 3 / 10 + noise, "low": 0.1, "high": 0.9 + noise}
tree = {"moves": number, "stays": {"value": 1.0}, "position": "last", "difference": {"moves": 2.0}}
json.dump(tree, open("metrics/toy/base.json", "w"))
pathlib.Path("metrics/toy/curve.csv").write_text(f"{seed},{noise}")
pathlib.Path("data").mkdir(exist_ok=True)
pathlib.Path("data/states").write_text(f"{seed},{noise}")
"""
DVC = """
stages:
  toy:
    cmd: python toy.py
    deps: [toy.py, noise]
    params: [seed]
    outs: [data/states, metrics/toy: {cache: false}]
  after:
    cmd: python -c "open('copy', 'w').write('same')"
    deps: [data/states]
    outs: [copy: {cache: false}]
"""


def new_project(folder: Path) -> Path:
    """Run and committed, results and all."""
    folder.mkdir()
    tree: Any = tiny_tree()
    write_params(folder / "params.yaml", tree)
    for name, text in {"toy.py": STAGE, "dvc.yaml": DVC, "noise": "none",
                       ".gitignore": "/work\n/data\n"}.items():  # fmt: skip
        (folder / name).write_text(text, encoding="utf-8")
    git(folder, "init", "-q")
    dvc(folder, "init", "-q")
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    assert dvc(folder, "repro", "-q").returncode == 0
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "toy", "--allow-empty")


def benchmark(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """`python -m benchmarks.NAME` of this code, in the project."""
    return module(folder, f"benchmarks.{command[0]}", *command[1:])


def module(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """`python -m NAME` of this code, in the project."""
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder, env=os.environ | {"PYTHONPATH": PYTHON_PATH}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
