"""What one finetune step reads, and what the tuned and the frozen model make of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, Protocol

import torch
from torch import Tensor

from pipeline.core.sections import Asking, Variant
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.logits import ChunkValue, chunk_size, logits_of, summed_chunks
from pipeline.models.packing import PackedRow
from pipeline.models.peft_import import PeftModel

StepTextKind = Literal["retained", "first", "answered", "second"]
NOTHING = torch.empty(0)
STEP_TEXT_KINDS: tuple[StepTextKind, ...] = (
    "retained",
    "first",
    "answered",
    "second",
)  # their order in a row


@dataclass(frozen=True)
class StepTexts:
    """What a step learns from: both views of B pairs, in the pairs' order, and the pairs' concepts
    [B]; texts to go on reading as before; and texts whose response is learned."""

    first: Sequence[Encoded] = ()
    second: Sequence[Encoded] = ()
    labels: Tensor = NOTHING
    retained: Sequence[Encoded] = ()
    answered: Sequence[Encoded] = ()


class Depth(IntEnum):
    """How far a term needs texts read. Each depth includes those before it."""

    TARGET = 0  # by the tuned model, up to the top target layer
    END = 1  # by the tuned model, to its final states
    COMPARED = 2  # by the frozen model too, to its final states
    EVERY_LAYER = 3  # with the frozen model's states of all layers


class TermParams(Protocol):
    """What the terms use of `params.finetune`: what is learned, and nothing of how."""

    @property
    def target_layers(self) -> tuple[int, ...]: ...
    @property
    def top_layer(self) -> int: ...
    @property
    def positions(self) -> tuple[str, ...]: ...
    @property
    def temperature(self) -> float: ...
    @property
    def retain(self) -> Literal["relative", "l2"]: ...
    @property
    def penalty(self) -> Literal["kl", "weighted_nll"]: ...
    @property
    def penalty_texts(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Finetuned:
    """The model that is finetuned, and what its terms are made of, the same in all steps."""

    adapted: PeftModel
    encoder: Encoder
    params: TermParams
    variant: Variant
    asking: Asking

    @property
    def device(self) -> torch.device:
        device: torch.device = self.adapted.device
        return device

    def logits(self, hidden: Tensor) -> Tensor:
        return logits_of(self.adapted, hidden)

    def summed(self, hidden: Tensor, value: ChunkValue) -> Tensor:
        """The sum of what `value` gives of a few hundred final states at a time."""
        return summed_chunks(hidden, value, chunk_size(self.adapted.config.vocab_size))


@dataclass(frozen=True)
class Frozen:
    """What the frozen model makes of a row: the hidden states [kept, D] of layers 0 to n for its
    first tokens, and the final ones [tokens, D] of all."""

    states: tuple[Tensor, ...] = ()
    final: Tensor = NOTHING


@dataclass(frozen=True)
class StepRead:
    """What the tuned and the frozen model made of a step's texts, in one packed row.

    texts: where in the row each kind of text stands, counted in texts; labels: [B]; states: the
    tuned model's [T, D], of the target layers and asking.layer; final: its final ones, of the
    tokens read to the end; distances: how far the states of retained texts' tokens moved
    [layers 1 to n, tokens], where a term needs them.
    """

    finetuned: Finetuned
    row: PackedRow
    texts: Mapping[StepTextKind, slice]
    labels: Tensor
    states: Mapping[int, Tensor]
    final: Tensor
    frozen: Frozen
    distances: Tensor

    def tokens(self, kind: StepTextKind) -> slice:
        """Where in the row the tokens of a kind of text stand."""
        return self.row.tokens(self.texts[kind])

    def at_targets(self, kind: StepTextKind) -> Tensor:
        """The hidden states of texts at each of the P pairs of a target layer and a position:
        [N, P, D], in float32."""
        params = self.finetuned.params
        read = [
            self.row.at(self.states[layer], position, self.texts[kind])
            for layer in params.target_layers
            for position in params.positions
        ]
        return torch.stack(read, dim=1).float()
