"""A run whose metrics are the committed ones, in a folder of its own."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.dag import ROOT
from tests.support.tiny import plain, write_params

KEYS_READ = ("seed", "corpora", "model", "variants", "finetune", "judging.greedy")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: committed metrics and params, and a lock that says they belong."""
    for name in ("metrics", "presets"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    lock()
    return tmp_path


def lock() -> None:
    """Note in dvc.lock that the run was of params.yaml as it stands."""
    tree = plain(YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8")))
    read = {key: tree["judging"]["greedy"] if "." in key else tree[key] for key in KEYS_READ}
    stages: dict[str, Any] = {
        "safety": {"cmd": "python -m stages.safety", "params": {"params.yaml": read}}
    }
    for name, row in tree["variants"].items():
        own = {"params.yaml": {f"variants.{name}": row}}
        stages[f"adapters@{name}"] = {"cmd": "python -m stages.adapters", "params": own}
    write_params(Path("dvc.lock"), {"schema": "2.0", "stages": stages})


def change(**sections: Any) -> None:
    """Lay values over params.yaml, and note that the run was of them."""
    tree = YAML().load(Path("params.yaml").read_text(encoding="utf-8"))
    for name, values in sections.items():
        for key, value in values.items():
            tree[name][key] = tree[name][key] | value if isinstance(value, dict) else value
    write_params(Path("params.yaml"), tree)
    lock()
