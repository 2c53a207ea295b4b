"""Representations: one hidden state per text, layer and position. Their only reader and writer.

Layers follow Hugging Face: 0 is the embeddings, l the output of block l - 1, the last one taken
after the final norm.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from pipeline.core.finite import check_states
from pipeline.core.scored_sets import sets_among

Vectors = NDArray[np.float64]
Labels = NDArray[np.str_]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Representations:
    """Hidden states [layers, positions, texts, width] with the texts' ids, concepts and splits."""

    values: NDArray[np.float32]
    layers: tuple[int, ...]
    positions: tuple[str, ...]
    ids: tuple[str, ...]
    concepts: tuple[str, ...]
    splits: tuple[str, ...]

    def at(self, layer: int, position: str, split: str) -> tuple[Vectors, Labels]:
        """The vectors [N, D] and concepts [N] of one split, at one layer and position."""
        kept = np.array(self.splits) == split
        vectors = self.values[self.layers.index(layer), self.positions.index(position)]
        return vectors[kept].astype(np.float64), np.array(self.concepts)[kept]

    def of_texts(self, ids: Sequence[str], layer: int, position: str) -> NDArray[np.float32]:
        """The vectors [N, D] of texts by their ids, at one layer and position."""
        rows = {name: row for row, name in enumerate(self.ids)}
        vectors = self.values[self.layers.index(layer), self.positions.index(position)]
        found: NDArray[np.float32] = vectors[[rows[name] for name in ids]]
        return found

    def ids_of(self, split: str) -> list[str]:
        """The ids [N] of one split's texts, in the order of their vectors."""
        return [name for name, own in zip(self.ids, self.splits, strict=True) if own == split]

    def held_out(self) -> tuple[str, ...]:
        """The splits that results are of; a corpus may have no novel one."""
        return tuple(split for split in ("test", "novel") if split in self.splits)

    def scored(self) -> tuple[str, ...]:
        """The splits that monitors are scored on: held-out ones, and other corpora's."""
        return (*self.held_out(), *sets_among(self.splits))


@dataclass(frozen=True)
class RepresentationsFile:
    """A file of representations that is filled text by text, in any order.

    Full, it is the safetensors file of all texts; memory never holds more than the texts of a call.
    """

    path: Path
    layers: tuple[int, ...]
    positions: tuple[str, ...]
    ids: tuple[str, ...]
    concepts: tuple[str, ...]
    splits: tuple[str, ...]
    width: int

    def header(self) -> bytes:
        """All metadata is one sorted JSON value, so that the same texts give the same bytes."""
        names = ("layers", "positions", "ids", "concepts", "splits")
        described = json.dumps({name: getattr(self, name) for name in names}, sort_keys=True)
        values = {"dtype": "F32", "shape": self.shape, "data_offsets": [0, self.bytes]}
        tree = {"__metadata__": {"representations": described}, "values": values}
        written = json.dumps(tree, separators=(",", ":"), ensure_ascii=False).encode()
        written += b" " * (-len(written) % 8)
        return len(written).to_bytes(8, "little") + written

    @cached_property
    def start(self) -> int:
        """The byte at which the values begin. The header, which names every text, is not kept."""
        return len(self.header())

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.layers), len(self.positions), len(self.ids), self.width

    @property
    def bytes(self) -> int:
        return 4 * math.prod(self.shape)

    def is_there(self) -> bool:
        return self.path.is_file() and self.path.stat().st_size == self.start + self.bytes

    def make(self) -> None:
        """Write the header and leave room for the values."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("wb") as room:
            room.write(self.header())
            room.truncate(self.start + self.bytes)

    def put(self, texts: Sequence[int], values: NDArray[np.float32]) -> None:
        """Write the values [layers, positions, N, width] of N texts, by their indices in `ids`.

        Raises InputError for a text whose values are not finite, and writes none of them.
        """
        check_states(values, self.layers, [self.ids[text] for text in texts])
        row = 4 * self.width
        with self.path.open("r+b") as room:
            for layer, position in np.ndindex(values.shape[:2]):
                first = (layer * len(self.positions) + position) * len(self.ids)
                for text, vector in zip(texts, values[layer, position], strict=True):
                    room.seek(self.start + (first + text) * row)
                    room.write(vector.astype("<f4").tobytes())


def load_representations(path: Path) -> Representations:
    """Raises InputError for a text whose values are not finite."""
    with safe_open(path, framework="numpy") as stored:
        described: dict[str, Sequence[object]] = json.loads(stored.metadata()["representations"])
        values = stored.get_tensor("values")
    found = Representations(values, **{name: tuple(v) for name, v in described.items()})  # type: ignore[arg-type]
    check_states(found.values, found.layers, found.ids, f"{path}: ")
    return found


def centre_and_scale(seen: Vectors) -> tuple[Vectors, float]:
    """The mean of training texts [M, D], and the root mean square of their distances from it; a
    scale of 1 where they are all the same."""
    centre = seen.mean(0)
    return centre, float(np.sqrt(((seen - centre) ** 2).sum(1).mean())) or 1.0
