"""The pipeline itself, run for a benchmark: in a clone of the last commit, by params of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

STAGES = ("separation", "monitors", "fidelity", "safety", "selfie")


@dataclass(frozen=True)
class Corpus:
    """What is run: params by their path, the variants, the splits that numbers are read on."""

    params: Mapping[str, Any]
    variants: tuple[str, ...]
    splits: tuple[str, ...] = ("novel", "test")
    stages: tuple[str, ...] = STAGES
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # variants not in params


def clone(folder: Path) -> Path:
    """A fresh clone of the last commit; a former one is brought up to it, its DVC cache kept."""
    if not folder.exists():
        subprocess.run(["git", "clone", "-q", str(Path.cwd()), str(folder)], check=True)
    subprocess.run(["git", "fetch", "-q", str(Path.cwd()), "HEAD"], cwd=folder, check=True)
    subprocess.run(["git", "reset", "-q", "--hard", "FETCH_HEAD"], cwd=folder, check=True)
    return folder


def commit_of(folder: Path) -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def set_params(folder: Path, seed: int, corpus: Corpus) -> None:
    """Write the committed params with this corpus's own."""
    yaml, path = YAML(), folder / "params.yaml"
    subprocess.run(["git", "checkout", "-q", "params.yaml"], cwd=folder, check=True)
    params = yaml.load(path.read_text(encoding="utf-8"))
    rows = params["variants"]
    for name, row in corpus.rows.items():
        rows[name] = dict(rows[row["of"]]) | {k: v for k, v in row.items() if k != "of"}
    params["seed"] = seed
    params["variants"] = {name: rows[name] for name in corpus.variants}
    params["figures"]["compared"] = [corpus.variants[0], corpus.variants[-1]]
    for keys, value in corpus.params.items():
        *sections, key = keys.split(".")
        section = params
        for name in sections:
            section = section[name]
        section[key] = value
    with path.open("w", encoding="utf-8") as out:
        yaml.dump(params, out)


def repro(folder: Path, targets: Sequence[str]) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "dvc", "repro", *targets]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed in {folder}:\n{done.stdout}{done.stderr}")
