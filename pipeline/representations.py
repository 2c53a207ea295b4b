"""The noun of numbers: one vector per text, layer and position. Its only reader and writer.

Layers follow Hugging Face: 0 is the embeddings, l the output of block l - 1, the last one taken
after the final norm.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from pipeline.files import whole


@dataclass(frozen=True)
class Representations:
    """Hidden states [layers, positions, texts, width] with the texts' ids, concepts and splits."""

    values: NDArray[np.float32]
    layers: tuple[int, ...]
    positions: tuple[str, ...]
    ids: tuple[str, ...]
    concepts: tuple[str, ...]
    splits: tuple[str, ...]

    def at(
        self, layer: int, position: str, split: str
    ) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
        """The vectors [N, D] and concepts [N] of one split, at one layer and position."""
        kept = np.array(self.splits) == split
        vectors = self.values[self.layers.index(layer), self.positions.index(position)]
        return vectors[kept].astype(np.float64), np.array(self.concepts)[kept]

    def held_out(self) -> tuple[str, ...]:
        """The splits that results are read on; a corpus may have no novel one."""
        return tuple(split for split in ("test", "novel") if split in self.splits)


def save_representations(path: Path, representations: Representations) -> None:
    """Write to safetensors. All metadata is one sorted JSON value: several keys would be written
    in random order, and the same representations would not give the same bytes."""
    described = {
        name: getattr(representations, name)
        for name in ("layers", "positions", "ids", "concepts", "splits")
    }
    with whole(path) as draft:
        save_file(
            {"values": np.ascontiguousarray(representations.values)},
            draft,
            metadata={"representations": json.dumps(described, sort_keys=True)},
        )


def load_representations(path: Path) -> Representations:
    with safe_open(path, framework="numpy") as stored:
        described: dict[str, Sequence[object]] = json.loads(stored.metadata()["representations"])
        values = stored.get_tensor("values")
    return Representations(values, **{name: tuple(v) for name, v in described.items()})  # type: ignore[arg-type]
