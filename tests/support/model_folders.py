"""Changes to a model's folder, as publishers and accidents make them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

Change = Callable[[Path], object]


def edit_json(name: str, change: Callable[[Any], Any]) -> Change:
    """A file of settings, changed in the given tree or, where it returns one, replaced by that."""

    def edit(folder: Path) -> None:
        path = folder / name
        tree = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        changed = change(tree)
        text = json.dumps(tree if changed is None else changed)
        path.write_text(text, encoding="utf-8")

    return edit


def edit_config(**values: object) -> Change:
    return edit_json("config.json", lambda config: config.update(values))


def edit_weights(change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Change:
    def edit(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        save_file(change(weights), folder / "model.safetensors", {"format": "pt"})

    return edit
