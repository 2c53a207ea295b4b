"""A run that was killed goes on where it stood, and no other run does.

What is kept lies outside DVC's outputs, which DVC deletes before it runs a stage, and names the
run by everything its result depends on. Of several ranks the first keeps the state, and hands it to
all: their nodes may have working folders of their own.
"""

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.core.files import remove, sha256_of, whole
from pipeline.core.imports import ROOT, reached
from pipeline.core.sections import Section
from pipeline.models import distributed

CHECKPOINT_LIBRARIES = ("numpy", "peft", "safetensors", "tokenizers", "torch", "transformers")


@dataclass(frozen=True)
class Checkpoint:
    """Where a run keeps its state, every so many steps (0: never), and what names the run."""

    path: Path
    key: str
    every: int

    def is_due(self, step: int) -> bool:
        return bool(self.every) and step % self.every == 0

    def save(self, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
        """Keep the state whole: a kill while it is written leaves the former one."""
        if not distributed.is_first():
            return
        stored = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
        said = json.dumps({"key": self.key, "notes": dict(notes)}, sort_keys=True)
        with whole(self.path) as draft:
            save_file(stored, draft, metadata={"run": said})

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The state that this very run kept; None where there is none, or another run's. All ranks
        must ask."""
        return distributed.from_first(self._read() if distributed.is_first() else None)

    def _read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        try:
            with safe_open(self.path, framework="pt") as stored:
                said = json.loads(stored.metadata()["run"])
                if said["key"] != self.key:
                    return None
                return {name: stored.get_tensor(name) for name in stored.keys()}, said["notes"]  # noqa: SIM118
        except (FileNotFoundError, SafetensorError, KeyError, TypeError, ValueError):
            return None

    def forget(self) -> None:
        if distributed.is_first():
            remove(self.path)


def run_key(
    stage: str, seed: int, sections: Iterable[Section], files: Iterable[Path], device: torch.device
) -> str:
    """The digest of all that a run's bytes depend on: params, inputs, machine, and the code that
    its stage reaches. files: files, and folders of files."""
    params = [section.model_dump(mode="json") for section in sections]
    versions = [f"{name} {version(name)}" for name in CHECKPOINT_LIBRARIES]
    machine = [torch.get_num_threads(), str(device), platform.machine(), distributed.count()]
    digest = hashlib.sha256(json.dumps([seed, params, versions, machine], sort_keys=True).encode())
    code = {path.as_posix(): ROOT / path for path in reached(Path("stages", f"{stage}.py"))}
    inputs = [file for path in files for file in (path.glob("*") if path.is_dir() else [path])]
    for name, path in [*code.items(), *((path.name, path) for path in sorted(inputs))]:
        digest.update(f"\0{name}\0{sha256_of(path)}".encode())
    return digest.hexdigest()
