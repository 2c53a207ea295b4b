"""The objective of one finetune step, from as little work as gives it exactly.

All texts of a step are read in one packed row, each no further than some term needs it; what the
frozen model makes of them is kept for as long as the step lasts. The terms themselves are functions
of what was read, in pipeline/training/terms.py.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor

from pipeline.core.records import Document, Example
from pipeline.core.sections import Asking
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.finite import check_texts
from pipeline.models.fused_lora import fuse, switched_off
from pipeline.models.packing import PackedRow, pack
from pipeline.models.peft_import import PeftModel
from pipeline.models.reader_check import reader_for
from pipeline.training import losses
from pipeline.training.recompute import replayed
from pipeline.training.step import (
    NOTHING,
    STEP_TEXT_KINDS,
    Depth,
    Finetuned,
    Frozen,
    HiddenFrom,
    StepRead,
    StepTextKind,
    StepTexts,
    TermParams,
    TrainedRow,
    ViewsInPasses,
)
from pipeline.training.terms import Term, penalties, used_terms, weights_of


@dataclass(frozen=True)
class Layout:
    """The texts of a row; where each kind stands, counted in texts; and how many texts, from the
    first on, are read at least so far."""

    row: list[Encoded]
    texts: dict[StepTextKind, slice]
    reaching: dict[Depth, int]


class Objective:
    """Computes the terms that a variant uses; the others are 0 and cost nothing."""

    def __init__(
        self,
        adapted: PeftModel,
        encoder: Encoder,
        params: TermParams,
        variant: TrainedRow,
        asking: Asking,
        checkpointing: bool = False,
        pairs_per_pass: int = 0,
        hidden_from: HiddenFrom | None = None,
    ):
        """checkpointing: blocks run again in the backward pass instead of keeping what they made.
        pairs_per_pass: views are read so many pairs at a time, and again in the backward pass
        (arXiv 2101.06983), so that the batch's size costs no memory; 0 reads all of them at once.
        Without dropout, neither changes a number beyond rounding."""
        self.finetuned = Finetuned(adapted, encoder, params, variant, asking, hidden_from)
        self.adapted, self.device = adapted, adapted.device
        self.checkpointing, self.pairs_per_pass = checkpointing, pairs_per_pass
        self.trained = [weight for weight in adapted.parameters() if weight.requires_grad]
        self.used = used_terms(variant, params)
        fuse(adapted)
        self.read_row = reader_for(adapted.eval(), longest=encoder.longest)
        self.use_dropout(True)

    def __call__(self, texts: StepTexts) -> dict[str, Tensor]:
        """The unweighted terms, by name."""
        rest, values = dict(self.used), {}
        if 0 < self.pairs_per_pass < len(texts.first):
            apart = {name: rest.pop(name) for name, term in self.used.items() if term.of_views}
            views = self.in_passes(texts, apart.values())
            values = {name: term.value(views) for name, term in apart.items()}
        layout = lay_out(texts, rest.values())
        if layout.row:
            measured = any(term.distances for term in rest.values())
            read = self.read(layout, texts.labels, measured, texts.harmful, texts.progress)
            values |= {name: term.value(read) for name, term in rest.items()}
        weights = weights_of(self.finetuned.variant)
        if weights["penalty"]:
            names = penalties(self.finetuned.params)
            values["penalty"] = torch.stack([values[name] for name in names]).mean()
        unused = torch.zeros((), device=self.device)
        return {name: values.get(name, unused) for name in weights}

    def use_dropout(self, used: bool) -> None:
        """Drop parts of the adapter's inputs, or nothing; the model's own dropout stays off."""
        for name, module in self.adapted.named_modules():
            module.training = used and "lora_dropout" in name

    def check_frozen(self, records: Sequence[Example | Document]) -> None:
        """Raises InputError for the first text that the frozen model makes no finite numbers of."""
        texts = self.finetuned.encoder.texts([(r.prompt, r.response) for r in records])
        by_name = {f"text {record.id}": own for record, own in zip(records, texts, strict=True)}
        with switched_off(self.adapted):
            check_texts(self.read_row, self.adapted, by_name)

    def in_passes(self, texts: StepTexts, terms: Iterable[Term]) -> ViewsInPasses:
        """The views that terms need, read a few at a time, and again in the backward pass."""
        needed = {kind for term in terms for kind in term.needs}
        views = {kind: getattr(texts, kind) for kind in STEP_TEXT_KINDS if kind in needed}
        return ViewsInPasses(
            self.finetuned,
            texts.labels,
            views,
            targets=cache(lambda: self.targets(views)),
            rows=lambda kind: self.rows(kind, views[kind]),
        )

    def targets(
        self, views: Mapping[StepTextKind, Sequence[Encoded]]
    ) -> dict[StepTextKind, Tensor]:
        """The states of all views at their targets, read in passes: [N, P, D] of each kind."""
        states = [
            replayed(partial(self.targets_of, part), self.trained)
            for part in self.passes([text for own in views.values() for text in own])
        ]
        parts = torch.cat(states).split([len(own) for own in views.values()])
        return dict(zip(views, parts, strict=True))

    def passes(self, texts: Sequence[Encoded]) -> list[Sequence[Encoded]]:
        """The texts in parts that are read one after the other."""
        size = 2 * self.pairs_per_pass
        return [texts[start : start + size] for start in range(0, len(texts), size)]

    def targets_of(self, texts: Sequence[Encoded]) -> Tensor:
        """The states of texts of any kind at their targets: [N, P, D]."""
        none_beyond = dict.fromkeys(Depth, 0)
        layout = Layout(list(texts), {"first": slice(0, len(texts))}, none_beyond)
        return self.read(layout).at_targets("first")

    def rows(self, kind: StepTextKind, texts: Sequence[Encoded]) -> Iterator[StepRead]:
        """Texts of a kind, a few at a time, compared with the frozen model. What is read again in
        the backward pass ends below the logits, whose gradient is taken on the way forward."""
        for part in self.passes(texts):
            row = pack(part, self.device)
            final = replayed(partial(self.final_states, row), self.trained)
            yield StepRead(
                self.finetuned,
                row,
                {kind: slice(0, len(part))},
                labels=NOTHING,
                states={},
                final=final,
                frozen=self.frozen(row, kept=0),
                distances=NOTHING,
            )

    def final_states(self, row: PackedRow) -> Tensor:
        """The tuned model's final states of all texts of a row: [T, D]."""
        final = self.read_row(self.adapted, row, lambda *_: None, checkpointing=self.checkpointing)
        assert final is not None
        return final

    def read(
        self,
        layout: Layout,
        labels: Tensor = NOTHING,
        measured: bool = False,
        harmful: Tensor = NOTHING,
        progress: float = 0.0,
    ) -> StepRead:
        """Read a row, each text as far as the layout says; measured: with the distances of retained
        texts' states."""
        params, reaching = self.finetuned.params, layout.reaching
        row = pack(layout.row, self.device)
        own = row.tokens(layout.texts.get("retained", slice(0, 0)))
        frozen = Frozen()
        if compared := reaching[Depth.COMPARED]:
            kept = row.tokens(slice(0, reaching[Depth.EVERY_LAYER])).stop
            frozen = self.frozen(row.first(compared), kept)
        distances: list[Tensor] = []
        states: dict[int, Tensor] = {}

        def see(layer: int, hidden: Tensor) -> None:
            if layer in (*params.target_layers, self.finetuned.asking.layer):
                states[layer] = hidden
            if layer and measured:
                distances.append(losses.token_distance(hidden[own], frozen.states[layer][own]))

        final = self.read_row(
            self.adapted,
            row,
            see,
            stop=params.top_layer,
            texts_above=reaching[Depth.END],
            checkpointing=self.checkpointing,
        )
        return StepRead(
            self.finetuned,
            row,
            layout.texts,
            labels,
            states,
            final=NOTHING if final is None else final,
            frozen=frozen,
            distances=torch.stack(distances) if distances else NOTHING,
            harmful=harmful,
            progress=progress,
        )

    def frozen(self, row: PackedRow, kept: int) -> Frozen:
        """Read a row with the adapter switched off, keeping all layers of its first tokens."""
        states: list[Tensor] = []

        def see(_: int, hidden: Tensor) -> None:
            states.append(hidden[:kept].clone() if kept < len(hidden) else hidden)

        with torch.no_grad(), switched_off(self.adapted):
            final = self.read_row(self.adapted, row, see)
        assert final is not None
        return Frozen(tuple(states), final)


def lay_out(texts: StepTexts, terms: Iterable[Term]) -> Layout:
    """A row of the texts that terms need, those that are read furthest first."""
    depths: dict[StepTextKind, Depth] = {}
    for term in terms:
        for kind, depth in term.needs.items():
            depths[kind] = max(depth, depths.get(kind, depth))
    row: list[Encoded] = []
    slices: dict[StepTextKind, slice] = {}
    reaching = dict.fromkeys(Depth, 0)
    for kind in sorted(
        (kind for kind in STEP_TEXT_KINDS if kind in depths), key=lambda kind: -depths[kind]
    ):
        start = len(row)
        row += getattr(texts, kind)
        slices[kind] = slice(start, len(row))
        reaching |= {depth: len(row) for depth in Depth if depth <= depths[kind]}
    return Layout(row, slices, reaching)
