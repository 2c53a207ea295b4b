"""The objective of one finetune step, from as little work as gives it exactly.

All texts of a step are read in one packed row, each no further than some term needs it; what the
frozen model makes of them is kept for as long as the step lasts. The terms themselves are functions
of what was read, in pipeline/training/terms.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from pipeline.core.sections import Asking, Variant
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.packing import PackedRow, pack
from pipeline.models.peft_import import PeftModel
from pipeline.models.reader_check import reader_for
from pipeline.training import losses
from pipeline.training.fused_lora import fuse, switched_off
from pipeline.training.recompute import replayed
from pipeline.training.step import (
    NOTHING,
    STEP_TEXT_KINDS,
    Depth,
    Finetuned,
    Frozen,
    StepRead,
    StepTextKind,
    StepTexts,
    TermParams,
)
from pipeline.training.terms import (
    TERMS,
    Term,
    contrast_of,
    penalties,
    penalty_count,
    summed_penalty,
    used_terms,
    weights_of,
)


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
        variant: Variant,
        asking: Asking,
        checkpointing: bool = False,
        pairs_per_pass: int = 0,
    ):
        """checkpointing: blocks run again in the backward pass instead of keeping what they made.
        pairs_per_pass: views are read so many pairs at a time, and again in the backward pass
        (arXiv 2101.06983), so that the batch's size costs no memory; 0 reads all of them at once.
        Without dropout, neither changes a number beyond rounding."""
        self.finetuned = Finetuned(adapted, encoder, params, variant, asking)
        self.adapted, self.device = adapted, adapted.device
        self.checkpointing, self.pairs_per_pass = checkpointing, pairs_per_pass
        self.trained = [weight for weight in adapted.parameters() if weight.requires_grad]
        self.used = used_terms(variant, params)
        fuse(adapted)
        self.read_row = reader_for(adapted.eval(), longest=encoder.longest)
        self.use_dropout(True)

    def __call__(self, texts: StepTexts) -> dict[str, Tensor]:
        """The unweighted terms, by name."""
        apart = bool(self.pairs_per_pass) and len(texts.first) > self.pairs_per_pass
        values = self.in_passes(texts) if apart else {}
        rest = {name: term for name, term in self.used.items() if name not in values}
        layout = lay_out(texts, rest.values())
        if layout.row:
            measured = any(term.distances for term in rest.values())
            read = self.read(layout, texts.labels, measured)
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

    def in_passes(self, texts: StepTexts) -> dict[str, Tensor]:
        """The terms of pairs alone, whose texts are read a few at a time, and again in the backward
        pass."""
        values: dict[str, Tensor] = {}
        if "contrast" in self.used:
            parts = [
                replayed(partial(self.contrasted, part), self.trained)
                for part in self.passes([*texts.first, *texts.second])
            ]
            values["contrast"] = contrast_of(self.finetuned, torch.cat(parts), texts.labels)
        if "penalty on pairs" in self.used:
            parts = [
                summed_penalty("first", self.read_alone(part)) for part in self.passes(texts.first)
            ]
            count = penalty_count(self.finetuned, [len(text.ids) for text in texts.first])
            values["penalty on pairs"] = torch.stack(parts).sum() / count
        return values

    def passes(self, texts: Sequence[Encoded]) -> list[Sequence[Encoded]]:
        """The texts in parts that are read one after the other."""
        size = 2 * self.pairs_per_pass
        return [texts[start : start + size] for start in range(0, len(texts), size)]

    def contrasted(self, texts: Sequence[Encoded]) -> Tensor:
        """The states of texts that are contrasted: [N, P, D], as StepRead.at_targets gives them."""
        layout = lay_out(StepTexts(first=texts), [TERMS["contrast"]])
        return self.read(layout).at_targets("first")

    def read_alone(self, texts: Sequence[Encoded]) -> StepRead:
        """First views by themselves, compared with the frozen model. What is read again in the
        backward pass ends below the logits, whose gradient is taken on the way forward."""
        row = pack(texts, self.device)

        def final_states() -> Tensor:
            final = self.read_row(
                self.adapted, row, lambda *_: None, checkpointing=self.checkpointing
            )
            assert final is not None
            return final

        return StepRead(
            self.finetuned,
            row,
            {"first": slice(0, len(texts))},
            labels=NOTHING,
            states={},
            final=replayed(final_states, self.trained),
            frozen=self.frozen(row, kept=0),
            distances=NOTHING,
        )

    def read(self, layout: Layout, labels: Tensor = NOTHING, measured: bool = False) -> StepRead:
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
