"""Running answers: what a text's representation is after every token of its answer.

One vector at the prompt's end and one after each token, at the layer that is read. Its only reader
and writer.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from pipeline.core.files import whole
from pipeline.core.finite import check_states

POSITIONS = ("last", "mean")  # that move while an answer grows
# Where running answers are judged: at `last`, training texts end in a token that none of them has.
GROWING = "mean"


@dataclass(frozen=True)
class AnswerStates:
    """The representations [T, D] of M running texts, end to end, each position's that the text
    would have if it ended there.

    ids, samples, lengths [M]: which request's or example's text it is, which of its answers, and
    how many vectors it has, one more than its answer has tokens. signature [D]: see
    pipeline.inference.fingerprint.
    """

    layer: int
    states: dict[str, NDArray[np.float32]]
    ids: tuple[str, ...]
    samples: tuple[int, ...]
    lengths: tuple[int, ...]
    signature: NDArray[np.float32]

    def at(self, position: str, texts: Sequence[int]) -> list[NDArray[np.float64]]:
        """The vectors [length, D] of some texts, given by their numbers."""
        ends = np.cumsum(self.lengths)
        values = self.states[position].astype(np.float64)
        return [values[ends[text] - self.lengths[text] : ends[text]] for text in texts]


def save_streams(path: Path, streams: AnswerStates) -> None:
    """All metadata is one sorted JSON value, so that the same streams give the same bytes.

    Raises InputError for a text whose states are not finite.
    """
    _check(streams)
    names = ("ids", "layer", "lengths", "samples")
    described = json.dumps({name: getattr(streams, name) for name in names}, sort_keys=True)
    with whole(path) as draft:
        tensors = {**streams.states, "signature": streams.signature}
        save_file(tensors, draft, metadata={"streams": described})


def load_streams(path: Path) -> AnswerStates:
    """Raises InputError for a text whose states are not finite."""
    with safe_open(path, framework="numpy") as stored:
        described = json.loads(stored.metadata()["streams"])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    signature = tensors.pop("signature")
    lists = {name: tuple(described[name]) for name in ("ids", "samples", "lengths")}
    found = AnswerStates(layer=described["layer"], states=tensors, signature=signature, **lists)
    _check(found, f"{path}: ")
    return found


def _check(streams: AnswerStates, where: str = "") -> None:
    names = np.repeat(streams.ids, streams.lengths).tolist()
    check_states(np.stack(list(streams.states.values()))[None], [streams.layer], names, where)
