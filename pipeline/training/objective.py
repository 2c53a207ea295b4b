"""The terms of one finetune step, from as little work as gives them exactly.

All texts of a step are read in one packed row. Contrasted texts that no other term needs are read
no higher than the top target layer; what the frozen model makes of the others is kept for as long
as the step lasts; logits of read texts exist for a few hundred tokens at a time.

Longer than other modules, as all terms of a step share one reading of one row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from pipeline.core.sections import Asking, Finetune, Variant
from pipeline.models import distributed
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.hooks import read_injected
from pipeline.models.logits import kl, logits_of, next_token_nll, summed_chunks, token_kl
from pipeline.models.packing import PackedRow, pack
from pipeline.models.peft_import import PeftModel
from pipeline.models.reader_check import reader_for
from pipeline.training import losses
from pipeline.training.fused_lora import fuse, switched_off
from pipeline.training.recompute import replayed

LOGITS = 2**20  # how many may exist at once, unless that is less than ROWS tokens' worth
ROWS = 256


@dataclass(frozen=True)
class Frozen:
    """What the untouched model makes of a row: the hidden states [kept, D] of layers 0 to n for
    its first tokens, and the final ones [tokens, D] of all."""

    states: tuple[Tensor, ...]
    final: Tensor


class Objective:
    """Computes the terms that a variant uses; the others are 0 and cost nothing."""

    def __init__(
        self,
        adapted: PeftModel,
        encoder: Encoder,
        params: Finetune,
        variant: Variant,
        asking: Asking,
        checkpointing: bool = False,
        pairs_per_pass: int = 0,
    ):
        """checkpointing: blocks run again in the backward pass instead of keeping what they made.
        pairs_per_pass: views are read so many pairs at a time, and again in the backward pass
        (arXiv 2101.06983), so that the batch's size costs no memory; 0 reads all of them at once.
        Without dropout, neither changes a number beyond rounding."""
        self.adapted, self.encoder = adapted, encoder
        self.params, self.variant, self.asking = params, variant, asking
        self.checkpointing, self.pairs_per_pass = checkpointing, pairs_per_pass
        self.device = adapted.device
        self.trained = [weight for weight in adapted.parameters() if weight.requires_grad]
        self.penalised = params.penalty_texts if variant.penalty_weight else ()
        fuse(adapted)
        self.read_row = reader_for(adapted.eval(), longest=encoder.longest)
        self.use_dropout(True)

    def __call__(
        self,
        views: Sequence[Encoded],
        labels: Tensor,
        retained: Sequence[Encoded],
        answered: Sequence[Encoded],
    ) -> dict[str, Tensor]:
        """The unweighted terms, by name.

        views: 2B texts, view 1 of every pair and then view 2; labels: [B] concepts; retained:
        texts to go on reading as before; answered: texts whose response is learned.
        """
        apart = bool(self.pairs_per_pass) and len(labels) > self.pairs_per_pass
        terms = dict.fromkeys(weights_of(self.variant), torch.zeros((), device=self.device))
        drifts: dict[str, Tensor] = {}
        if apart and self.variant.contrast_weight:
            parts = [
                replayed(partial(self.states, texts), self.trained) for texts in self.passes(views)
            ]
            terms["contrast"] = self.contrast(torch.cat(parts), labels)
        if apart and "pairs" in self.penalised:
            first = views[: len(labels)]
            parts = [self.drift_alone(part) for part in self.passes(first)]
            drifts["pairs"] = torch.stack(parts).sum() / self.drift_count(first)
        found, drifted = self.read([] if apart else views, labels, retained, answered)
        drifts |= drifted
        if self.penalised:
            terms["penalty"] = torch.stack([drifts[texts] for texts in self.penalised]).mean()
        return terms | found

    def use_dropout(self, used: bool) -> None:
        """Drop parts of the adapter's inputs, or nothing; the model's own dropout stays off."""
        for name, module in self.adapted.named_modules():
            module.training = used and "lora_dropout" in name

    def read(
        self,
        views: Sequence[Encoded],
        labels: Tensor,
        retained: Sequence[Encoded],
        answered: Sequence[Encoded],
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Read everything in one row: the terms, and the drifts that the penalty is made of."""
        texts, places = self.lay_out(views, retained, answered)
        if not texts:
            return {}, {}
        row = pack(texts, self.device)
        compared = places["compared"].stop
        kept = places["retained"]
        own = row.tokens(kept)
        nothing = Frozen((), torch.empty(0))
        frozen = self.frozen(row.first(compared), own.stop) if compared else nothing
        distances: list[Tensor] = []
        seen: dict[int, Tensor] = {}

        def see(layer: int, hidden: Tensor) -> None:
            if layer in (*self.params.target_layers, self.asking.layer):
                seen[layer] = hidden
            if layer and self.variant.retain_weight:
                distances.append(losses.token_distance(hidden[own], frozen.states[layer][own]))

        final = self.read_row(
            self.adapted,
            row,
            see,
            stop=self.params.top_layer,
            texts_above=places["above"].stop,
            checkpointing=self.checkpointing,
        )
        terms: dict[str, Tensor] = {}
        drifts: dict[str, Tensor] = {}
        if views and self.variant.contrast_weight:
            both = [self.at_places(row, seen, places[name]) for name in ("first", "second")]
            terms["contrast"] = self.contrast(torch.cat(both), labels)
        if self.variant.retain_weight:
            terms["retain"] = self.retain(row, kept, torch.stack(distances), frozen)
        if final is not None:
            if "retain" in self.penalised:
                drift = self.drift(row, kept, final, frozen)
                drifts["retain"] = drift / self.drift_count(retained)
            if "interpretations" in self.penalised:
                states = seen[self.asking.layer]
                drifts["interpretations"] = self.misreading(row, kept, states, frozen)
            if views and "pairs" in self.penalised:
                drift = self.drift(row, places["first"], final, frozen)
                drifts["pairs"] = drift / self.drift_count(texts[places["first"]])
            if self.variant.response_weight:
                terms["response"] = self.response(row, places["answered"], final)
        return terms, drifts

    def lay_out(
        self, views: Sequence[Encoded], retained: Sequence[Encoded], answered: Sequence[Encoded]
    ) -> tuple[list[Encoded], dict[str, slice]]:
        """The texts of a step in one row, and where each kind stands, counted in texts.

        First those that both models read (`compared`), then those that the tuned model alone
        reads to its end (with the former: `above`), last those that stop at the top target layer.
        """
        half, variant = len(views) // 2, self.variant
        first, second = views[:half], views[half:]
        kinds: list[tuple[str, Sequence[Encoded]]] = []
        if variant.retain_weight or {"retain", "interpretations"} & set(self.penalised):
            kinds.append(("retained", retained))
        if "pairs" in self.penalised:
            kinds.append(("first", first))
        compared = sum(len(texts) for _, texts in kinds)
        if variant.response_weight:
            kinds.append(("answered", answered))
        above = sum(len(texts) for _, texts in kinds)
        if variant.contrast_weight:
            kinds += [] if "pairs" in self.penalised else [("first", first)]
            kinds.append(("second", second))
        row: list[Encoded] = []
        places = {"retained": slice(0, 0), "compared": slice(0, compared), "above": slice(0, above)}
        for name, texts in kinds:
            places[name] = slice(len(row), len(row) + len(texts))
            row += texts
        return row, places

    def passes(self, texts: Sequence[Encoded]) -> list[Sequence[Encoded]]:
        """The texts in parts that are read one after the other, and again in the backward pass."""
        size = 2 * self.pairs_per_pass
        return [texts[start : start + size] for start in range(0, len(texts), size)]

    def states(self, texts: Sequence[Encoded]) -> Tensor:
        """The contrasted states of texts: [N, places, D]."""
        row, seen = pack(texts, self.device), dict[int, Tensor]()
        self.read_row(
            self.adapted,
            row,
            seen.__setitem__,
            stop=self.params.top_layer,
            texts_above=0,
            checkpointing=self.checkpointing,
        )
        return self.at_places(row, seen, slice(0, len(texts)))

    def drift_alone(self, texts: Sequence[Encoded]) -> Tensor:
        """The drift of texts that no other term reads. What is read again in the backward pass
        ends below the logits, whose gradient is taken on the way forward."""
        row = pack(texts, self.device)

        def read() -> Tensor:
            final = self.read_row(
                self.adapted, row, lambda *_: None, checkpointing=self.checkpointing
            )
            assert final is not None
            return final

        final = replayed(read, self.trained)
        return self.drift(row, slice(0, len(texts)), final, self.frozen(row, kept=0))

    def frozen(self, row: PackedRow, kept: int) -> Frozen:
        """Read a row with the adapter switched off, keeping all layers of its first tokens."""
        states: list[Tensor] = []

        def see(_: int, hidden: Tensor) -> None:
            states.append(hidden[:kept].clone() if kept < len(hidden) else hidden)

        with torch.no_grad(), switched_off(self.adapted):
            final = self.read_row(self.adapted, row, see)
        assert final is not None
        return Frozen(tuple(states), final)

    def at_places(self, row: PackedRow, seen: Mapping[int, Tensor], texts: slice) -> Tensor:
        """The hidden states of texts at every contrasted layer and position: [N, places, D].

        seen: a row's hidden states [T, D] by layer.
        """
        read = [
            row.at(seen[layer], position, texts)
            for layer in self.params.target_layers
            for position in self.params.positions
        ]
        return torch.stack(read, dim=1).float()

    def contrast(self, states: Tensor, labels: Tensor) -> Tensor:
        """The contrastive loss, averaged over layers and positions, over all ranks.

        states: [2B, places, D], view 1 of every pair and then view 2; labels: [B].
        """
        loss = losses.CONTRASTS[self.variant.contrast]
        first, second = (distributed.gather(view) for view in states.chunk(2))
        labels = distributed.gather(labels.to(self.device))
        at_places = zip(first.unbind(1), second.unbind(1), strict=True)
        return torch.stack(
            [loss(z1, z2, labels, self.params.temperature) for z1, z2 in at_places]
        ).mean()

    def retain(self, row: PackedRow, texts: slice, distances: Tensor, frozen: Frozen) -> Tensor:
        """How far the states of real tokens moved, layers 1 to n."""
        if self.params.retain == "l2":
            return losses.retain_l2(distances, row.lengths[texts])
        own = row.tokens(texts)
        lengths = [torch.linalg.vector_norm(h[own].float(), dim=-1) for h in frozen.states[1:]]
        tokens = distances.shape[1]
        part = tokens / distributed.mean_count(tokens, self.device)
        return part * losses.retain(distances, torch.stack(lengths))

    def drift(self, row: PackedRow, texts: slice, tuned: Tensor, frozen: Frozen) -> Tensor:
        """How far the predictions at real tokens of texts moved, summed."""
        own = row.tokens(texts)
        if self.params.penalty == "kl":
            before = frozen.final[own]

            def divergence(hidden: Tensor, part: slice) -> Tensor:
                return token_kl(self.logits(hidden), self.logits(before[part])).sum()

            return self.in_chunks(tuned[own], divergence)
        places = predicting(row, own)
        before, following = frozen.final[places], row.ids[places + 1]

        def likelihood(hidden: Tensor, part: slice) -> Tensor:
            logits = self.logits(hidden), self.logits(before[part])
            return losses.weighted_nll(*logits, following[part], texts=1)

        return self.in_chunks(tuned[places], likelihood)

    def drift_count(self, texts: Sequence[Encoded]) -> float:
        """What a drift is averaged over: tokens, or for the published penalty texts."""
        tokens = sum(len(text.ids) for text in texts)
        number = tokens if self.params.penalty == "kl" else len(texts)
        return distributed.mean_count(number, self.device)

    def misreading(self, row: PackedRow, texts: slice, tuned: Tensor, frozen: Frozen) -> Tensor:
        """How differently the tuned model reads its own states aloud from how the frozen model
        reads its own of the same texts: KL over the answer's opening, at every read position.

        Without it the finetune moves states to where the model was never taught to read them.
        Only the reading learns: states are not moved towards what is easy to read, so that this
        term separates nothing by itself.
        """
        opening = self.asking.answer.partition("{concept}")[0].rstrip()
        prompt = self.encoder.placeholder_prompt(self.asking.question, self.asking.placeholders)
        asked = torch.tensor([*prompt, *self.encoder.contents(opening)], device=self.device)

        def answers(states: Tensor) -> Tensor:
            read = [row.at(states, name, texts) for name in self.asking.positions]
            vectors = torch.cat(read).detach()
            ids = asked.expand(len(vectors), -1)
            places = ids == self.encoder.slot
            hidden = read_injected(self.adapted, ids, self.asking, places, vectors)
            return self.logits(hidden[:, len(prompt) - 1 :]).flatten(0, 1)

        with torch.no_grad(), switched_off(self.adapted):
            expected = answers(frozen.states[self.asking.layer])
        return kl(answers(tuned), expected)

    def response(self, row: PackedRow, texts: slice, tuned: Tensor) -> Tensor:
        """The negative log-likelihood of the answers given their prompts, per token."""
        places = predicting(row, row.tokens(texts))
        followed = torch.tensor(row.lengths[texts], device=self.device) - 1
        places = places[places >= torch.repeat_interleave(row.prompt_end[texts], followed)]
        following = row.ids[places + 1]

        def surprise(hidden: Tensor, part: slice) -> Tensor:
            nll = next_token_nll(self.logits(hidden), following[part])
            return nll * len(hidden)

        count = distributed.mean_count(len(places), self.device)
        if not count:  # no text of this step has an answer
            return tuned.sum() * 0.0
        return self.in_chunks(tuned[places], surprise) / count

    def logits(self, hidden: Tensor) -> Tensor:
        return logits_of(self.adapted, hidden)

    def in_chunks(self, hidden: Tensor, value: Callable[[Tensor, slice], Tensor]) -> Tensor:
        rows = max(ROWS, LOGITS // self.adapted.config.vocab_size)
        return summed_chunks(hidden, value, rows)


def predicting(row: PackedRow, own: slice) -> Tensor:
    """The tokens of consecutive texts, given by where they stand in the row, that a token of the
    same text follows."""
    places = row.predicting()
    return places[(places >= own.start) & (places < own.stop)]


def weights_of(variant: Variant) -> dict[str, float]:
    """The weight of every term of the objective, by name."""
    return {
        "contrast": variant.contrast_weight,
        "retain": variant.retain_weight,
        "penalty": variant.penalty_weight,
        "response": variant.response_weight,
    }
