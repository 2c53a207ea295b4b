"""A repository whose commits hold params and made-up metrics: what a sweep reads, without a run."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core.records import CONTROLS
from tests.support.clones import git
from tests.support.tiny import tiny_tree, write_params

TUNED = "sft_contrast"  # the headline's variant of the tiny params
FROZEN = 0.7


def marks(value: float, reach: float = 0.02) -> dict[str, float]:
    return {"value": value, "low": value - reach, "high": value + reach}


def metrics_of(gain: float, cost: float) -> dict[str, Any]:
    """What stages write of one variant: a probe so far above the best frozen one, and what its
    perplexity is above 2."""
    splits = ("test", "novel", "shifted")
    probes = {
        "read": {split: marks(FROZEN + gain) for split in splits},
        "frozen": {split: marks(FROZEN) for split in splits},
        "best": {split: marks(FROZEN + gain) for split in splits},
    }
    risen = {"probes": {"best": {split: marks(gain) for split in splits}}}
    named = {control: marks(0.2) for control in (*CONTROLS, "state")}
    return {
        "separation": {"probes": probes, "difference": risen},
        "monitors": {},
        "safety": {},
        "fidelity": {
            "perplexity": marks(2 + cost), "difference": {"perplexity": marks(cost)},
        },
        "selfie": {"layer_1": {"test": {"last": named}}},
    }  # fmt: skip


def write_run(
    folder: Path, variants: Mapping[str, tuple[float, float]], **changed: Mapping[str, Any] | int
) -> None:
    """params.yaml and metrics/ of a run, by variant its gain and its cost; changed: params by
    section."""
    tree = tiny_tree()
    for name, part in changed.items():
        if isinstance(part, Mapping):
            tree[name].update(part)
        else:
            tree[name] = part
    write_params(folder / "params.yaml", tree)
    write_metrics(folder, variants)


def write_metrics(folder: Path, variants: Mapping[str, tuple[float, float]]) -> None:
    """The files of metrics/ that a headline is made of."""
    for variant, own in {"base": (0.0, 0.0), **variants}.items():
        for stage, numbers in metrics_of(*own).items():
            path = folder / "metrics" / stage / f"{variant}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(numbers), encoding="utf-8")
    (folder / "metrics/text_only.json").write_text("{}", encoding="utf-8")


def new_repository(folder: Path, gain: float = 0.1, cost: float = 0.1) -> Path:
    folder.mkdir()
    git(folder, "init", "-qb", "main")
    write_run(folder, {TUNED: (gain, cost)})
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "main")
    return folder


def add_experiment(
    folder: Path, name: str, gain: float, cost: float = 0.1, base: str = "main", **changed: Any
) -> str:
    """An experiment as DVC keeps it, made on a commit; returns its commit."""
    before = head_of(folder, base)
    write_run(folder, {TUNED: (gain, cost)}, **changed)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", name, "--allow-empty")
    made = head_of(folder)
    git(folder, "update-ref", f"refs/exps/{before[:2]}/{before[2:]}/{name}", made)
    git(folder, "reset", "-q", "--hard", before)
    return made


def head_of(folder: Path, name: str = "HEAD") -> str:
    found = subprocess.run(
        ["git", "rev-parse", name], cwd=folder, check=True, capture_output=True, text=True
    )
    return found.stdout.strip()
