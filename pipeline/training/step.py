"""What one finetune step reads, and what the tuned and the frozen model make of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from pipeline.core.representations import Vectors
from pipeline.core.sections import Asking
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.hooks import config_of
from pipeline.models.logits import ChunkValue, chunk_size, logits_of, summed_chunks
from pipeline.models.packing import PackedRow
from pipeline.models.peft_import import PeftModel

StepTextKind = Literal["retained", "first", "answered", "second"]
NOTHING = torch.empty(0)
# In their order in a row.
STEP_TEXT_KINDS: tuple[StepTextKind, ...] = ("retained", "first", "answered", "second")
LEAST_APART = 1e-6  # mean logits of safe and of harmful texts
VIEWS = {"first", "second"}  # of pairs


@dataclass(frozen=True)
class StepTexts:
    """What a step learns from: both views of B pairs, in the pairs' order, and the pairs' concepts,
    as losses have them; texts to go on reading as before; texts whose response is learned; and
    which views show a harmful answer: [2, B]."""

    first: Sequence[Encoded] = ()
    second: Sequence[Encoded] = ()
    labels: Tensor = NOTHING
    retained: Sequence[Encoded] = ()
    answered: Sequence[Encoded] = ()
    harmful: Tensor = NOTHING
    progress: float = 0.0  # of the finetune, from 0 to 1


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


class TrainedRow(Protocol):
    """What a finetune uses of a row of `params.variants`, or of what else it may be for."""

    @property
    def steps(self) -> int: ...
    @property
    def contrast(self) -> str: ...
    @property
    def contrast_weight(self) -> float: ...
    @property
    def retain_weight(self) -> float: ...
    @property
    def penalty_weight(self) -> float: ...
    @property
    def response_weight(self) -> float: ...


@dataclass(frozen=True)
class HiddenFrom:
    """A frozen monitor that a model is trained to hide from: of a state h [D], the logit of harm is
    weights [D] h + offset. safe, harmful: the mean logits of training texts of either kind."""

    weights: Vectors
    offset: float
    safe: float
    harmful: float

    def exposure(self, states: Tensor) -> Tensor:
        """How far the logit of each state [N, D] is from that of safe texts: [N], 0 for one as
        safe as they are on average, 1 for one as harmful as harmful texts are."""
        logits = states @ torch.from_numpy(self.weights).to(states) + self.offset
        apart = self.harmful - self.safe
        # A monitor that tells nothing apart, as of equal states, has no such unit.
        return (logits - self.safe) / (apart if apart > LEAST_APART else 1.0)


class Scale(NamedTuple):
    """The mean and the deviation of the frozen model's states at each of the P pairs of a target
    layer and a position: [P, D] each. A number that never differs has a deviation of 1."""

    mean: Tensor
    deviation: Tensor


@dataclass(frozen=True)
class Finetuned:
    """The model that is finetuned, and what its terms are made of, the same in all steps.
    hidden_from: the monitor that the term `hiding` is about. scale: what states are standardised by
    before they are contrasted, if they are."""

    adapted: PeftModel
    encoder: Encoder
    params: TermParams
    variant: TrainedRow
    asking: Asking
    hidden_from: HiddenFrom | None = None
    scale: Scale | None = None

    @property
    def device(self) -> torch.device:
        device: torch.device = self.adapted.device
        return device

    def contrasted(self, states: Tensor) -> Tensor:
        """The states of texts at targets [N, P, D], as cosines are taken of them."""
        if self.scale is None:
            return states
        return (states - self.scale.mean) / self.scale.deviation

    def logits(self, hidden: Tensor) -> Tensor:
        return logits_of(self.adapted, hidden)

    def summed(self, hidden: Tensor, value: ChunkValue) -> Tensor:
        """The sum of what `value` gives of a few hundred final states at a time."""
        return summed_chunks(hidden, value, chunk_size(config_of(self.adapted).vocab_size))


@dataclass(frozen=True)
class Frozen:
    """What the frozen model makes of a row: the hidden states [kept, D] of layers 0 to n for its
    first tokens, and the final ones [tokens, D] of all."""

    states: tuple[Tensor, ...] = ()
    final: Tensor = NOTHING


class TextsRead(Protocol):
    """What a term may ask of texts that were read in one row or in several."""

    @property
    def finetuned(self) -> Finetuned: ...
    @property
    def labels(self) -> Tensor: ...
    def lengths(self, kind: StepTextKind) -> Sequence[int]:
        """The numbers of tokens of texts of a kind."""

    def at_targets(self, kind: StepTextKind) -> Tensor:
        """The hidden states of texts at each of the P pairs of a target layer and a position:
        [N, P, D], in float32."""

    def summed(self, kind: StepTextKind, value: Callable[["StepRead"], Tensor]) -> Tensor:
        """The sum of a scalar over the rows in which texts of a kind were read."""


@dataclass(frozen=True)
class StepRead:
    """What the tuned and the frozen model made of a step's texts, in one packed row: a TextsRead.

    texts: where in the row each kind of text stands, counted in texts; labels: the pairs' concepts,
    as losses have them; states: the tuned model's [T, D], of the target layers and asking.layer;
    final: its final ones, of the tokens read to the end; distances: how far the states of retained
    texts' tokens moved [layers 1 to n, tokens], where a term needs them; harmful: which views show
    a harmful answer [2, B].
    """

    finetuned: Finetuned
    row: PackedRow
    texts: Mapping[StepTextKind, slice]
    labels: Tensor
    states: Mapping[int, Tensor]
    final: Tensor
    frozen: Frozen
    distances: Tensor
    harmful: Tensor = NOTHING
    progress: float = 0.0

    def tokens(self, kind: StepTextKind) -> slice:
        """Where in the row the tokens of a kind of text stand."""
        return self.row.tokens(self.texts[kind])

    def lengths(self, kind: StepTextKind) -> Sequence[int]:
        return self.row.lengths[self.texts[kind]]

    def summed(self, kind: StepTextKind, value: Callable[["StepRead"], Tensor]) -> Tensor:
        return value(self)

    def at_targets(self, kind: StepTextKind) -> Tensor:
        params = self.finetuned.params
        read = [
            self.row.at(self.states[layer], position, self.texts[kind])
            for layer in params.target_layers
            for position in params.positions
        ]
        return torch.stack(read, dim=1).float()


@dataclass(frozen=True)
class ViewsInPasses:
    """Views of pairs that were read a few at a time, in a row each: a TextsRead.

    views: the texts of each kind that a term needs; targets: gives their states, as at_targets has
    them; rows: reads texts of a kind to their final states, row by row. Nothing is read before a
    term asks for it.
    """

    finetuned: Finetuned
    labels: Tensor
    views: Mapping[StepTextKind, Sequence[Encoded]]
    targets: Callable[[], Mapping[StepTextKind, Tensor]]
    rows: Callable[[StepTextKind], Iterator[StepRead]]

    def lengths(self, kind: StepTextKind) -> Sequence[int]:
        return [len(text.ids) for text in self.views[kind]]

    def at_targets(self, kind: StepTextKind) -> Tensor:
        return self.targets()[kind]

    def summed(self, kind: StepTextKind, value: Callable[[StepRead], Tensor]) -> Tensor:
        return torch.stack([value(row) for row in self.rows(kind)]).sum()
