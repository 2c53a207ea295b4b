"""The hidden states of every token of texts, in a file that is mapped and never read whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

States = NDArray[np.float32]
Starts = NDArray[np.int_]


@dataclass(frozen=True)
class TokenStates:
    """The states [T, D] of N texts' tokens, end to end in `file`, and how many tokens each text
    has, one at least: lengths [N].

    Memory holds the states of one batch of texts, whatever their number.
    """

    file: Path
    lengths: tuple[int, ...]
    width: int
    tokens_per_batch: int

    @cached_property
    def ends(self) -> Starts:
        """The first token of each text, and the number of all tokens: [N + 1]."""
        ends: Starts = np.cumsum((0, *self.lengths))
        return ends

    def make(self) -> None:
        """Leave room for the states."""
        with self.file.open("wb") as room:
            room.truncate(4 * int(self.ends[-1]) * self.width)

    def put(self, text: int, states: States) -> None:
        """Write the states [t, D] of one text."""
        with self.file.open("r+b") as room:
            room.seek(4 * int(self.ends[text]) * self.width)
            room.write(states.astype("<f4").tobytes())

    def last_of(self, texts: range) -> States:
        """The states [n, D] of the texts' last tokens."""
        found = [own[np.append(starts[1:], len(own)) - 1] for _, own, starts in self.batches(texts)]
        return np.concatenate([np.zeros((0, self.width), np.float32), *found])

    def batches(self, texts: range) -> Iterator[tuple[range, States, Starts]]:
        """Consecutive texts, their tokens' states [t, D], and where each text begins among them
        [n]. A batch has at most tokens_per_batch tokens, or a single text."""
        every = np.memmap(self.file, "<f4", "r", shape=(int(self.ends[-1]), self.width))
        first = texts.start
        while first < texts.stop:
            most = np.searchsorted(self.ends, self.ends[first] + self.tokens_per_batch, "right") - 1
            stop = min(max(int(most), first + 1), texts.stop)
            own = self.ends[first : stop + 1]
            yield range(first, stop), every[own[0] : own[-1]], own[:-1] - own[0]
            first = stop
