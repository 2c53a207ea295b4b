"""A monitor that is saved: a linear map of a hidden state, and the model that it belongs to.

Two files and no code: `NAME.json` says what it is, `NAME.safetensors` holds its numbers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pipeline.core.console import InputError
from pipeline.core.files import whole, write_json
from pipeline.core.finite import not_finite
from pipeline.core.sections import Position

Tensor = NDArray[np.float32] | NDArray[np.float64]
# In full precision, as is the threshold: an alarm is one wherever the fitted monitor raises it.
TENSORS = {
    "centre": np.float64, "weights": np.float64, "bias": np.float64, "signature": np.float32
}  # fmt: skip
HEAVY = (".safetensors",)  # the files of a base model that hold its weights


@dataclass(frozen=True)
class SavedMonitor:
    """Probabilities of classes [K]: softmax(weights [K, D] (h [D] - centre [D]) + bias [K]).

    h is the representation at `layer` and `position` (pipeline.inference.live_monitor). The score
    is the probability that the text is of no harmless class, an alarm from `threshold` on; without
    harmless classes it is the likeliest class's, and `threshold` is None. `base` names the base
    model and `variant` its finetune; `signature` [D] is what the two make of a few fixed tokens
    (pipeline.inference.fingerprint).
    """

    kind: str
    variant: str
    classes: tuple[str, ...]
    harmless: tuple[str, ...]
    layer: int
    position: str
    threshold: float | None
    base: dict[str, str]
    centre: Tensor
    weights: Tensor
    bias: Tensor
    signature: Tensor

    def label(self, probabilities: NDArray[np.floating], score: float) -> str:
        """The likeliest class [K] among those on the threshold's side of the score."""
        asked = set(range(len(self.classes)))
        if self.threshold is not None:
            harmless = {index for index in asked if self.classes[index] in self.harmless}
            asked = asked - harmless if score >= self.threshold else harmless
        return self.classes[max(sorted(asked), key=lambda index: float(probabilities[index]))]

    def score(self, probabilities: NDArray[np.floating]) -> float:
        harmful = [p for c, p in zip(self.classes, probabilities, strict=True)
                   if c not in self.harmless]  # fmt: skip
        return float(sum(harmful) if self.harmless else max(probabilities))


def identity_of(card: Mapping[str, Any]) -> dict[str, str]:
    """What tells a base model from others, of its card (models/base.json)."""
    weights = {name: file["sha256"] for name, file in sorted(card["files"].items())
               if name.endswith(HEAVY)}  # fmt: skip
    names = ("source", "origin", "revision", "architecture", "dtype")
    return {**{name: str(card[name]) for name in names}, **weights}


def save_monitor(folder: Path, name: str, monitor: SavedMonitor) -> None:
    """Write folder/name.json and folder/name.safetensors. Raises InputError for a number that is
    not finite."""
    for key in TENSORS:
        if not np.isfinite(getattr(monitor, key)).all():
            raise not_finite(f"monitor {name} of {monitor.variant}", f"the numbers of its {key}")
    words = {key: value for key, value in vars(monitor).items() if key not in TENSORS}
    tensors = {
        key: np.ascontiguousarray(getattr(monitor, key), kind) for key, kind in TENSORS.items()
    }
    with whole(folder / f"{name}.safetensors") as draft:
        save_file(tensors, draft)
    # JSON has no None here: a monitor without a threshold has no such key.
    card = {key: value for key, value in words.items() if value is not None}
    write_json(folder / f"{name}.json", card, digits=17)


def load_monitor(path: Path) -> SavedMonitor:
    """Load a monitor by the path of its JSON file; its numbers lie beside it.

    Raises InputError in one line where a file is missing, damaged, or does not fit the other.
    """
    beside = path.with_suffix(".safetensors")
    for file in (path, beside):
        if not file.is_file():
            raise InputError(f"{file} is missing; the monitors stage writes it: dvc repro monitors")
    try:
        words = {"threshold": None, **json.loads(path.read_text(encoding="utf-8"))}
        words |= {key: tuple(words[key]) for key in ("classes", "harmless")}
        with safe_open(beside, framework="numpy") as stored:
            monitor = SavedMonitor(**words, **{key: stored.get_tensor(key) for key in TENSORS})
            if not isinstance(monitor.layer, int) or monitor.position not in get_args(Position):
                raise ValueError("no layer or position")
            if not all(np.isfinite(getattr(monitor, key)).all() for key in TENSORS):
                raise ValueError("a number that is not finite")
    except (ValueError, TypeError, KeyError, SafetensorError):
        raise InputError(f"{path} or {beside.name} is damaged; run: dvc repro monitors") from None
    width, classes = len(monitor.centre), len(monitor.classes)
    shapes = {
        "centre": (width,),
        "weights": (classes, width),
        "bias": (classes,),
        "signature": (width,),
    }
    for key, shape in shapes.items():
        if getattr(monitor, key).shape != shape:
            raise InputError(
                f"{beside}: {key} is of shape {getattr(monitor, key).shape}, and {path.name} asks "
                f"for {shape}; run: dvc repro monitors"
            )
    if monitor.threshold is not None and not (
        set(monitor.harmless) and set(monitor.harmless) < set(monitor.classes)
    ):
        raise InputError(
            f"{path}: a threshold needs harmless classes and harmful ones; run: dvc repro monitors"
        )
    return monitor
