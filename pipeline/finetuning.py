"""The SEER/TELLME finetune: concepts gather and part at one layer, the rest stays as it was.

L = w_contrast L_contrast + w_retain L_retain + w_penalty L_penalty + w_response L_response
(arXiv 2502.05242; the last term is plain finetuning on safe responses, alone or beside it).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from pipeline import losses
from pipeline.console import InputError, progress
from pipeline.files import whole
from pipeline.hooks import decoder_of, hidden_states, logits_of, read_injected
from pipeline.models import Batch, Encoded, Encoder, with_lora
from pipeline.params import Asking, Finetune, Variant
from pipeline.records import Document, Example, Pair


@dataclass(frozen=True)
class Step:
    """The terms of one step, unweighted (0 where a variant does not use them), and the gradient."""

    step: int
    contrast: float
    retain: float
    penalty: float
    response: float
    gradient_norm: float


def finetune(
    model: PreTrainedModel,
    encoder: Encoder,
    examples: Mapping[str, Example],
    pairs: Sequence[Pair],
    documents: Sequence[Document],
    params: Finetune,
    variant: Variant,
    asking: Asking,
    seed: int,
) -> tuple[PeftModel, list[Step]]:
    """Train one variant's adapter for its fixed number of steps.

    Every step takes the next params.pairs_per_step pairs, and params.retain_per_step documents
    that the model should go on reading as before. A variant of 0 steps is the untouched model.
    """
    torch.manual_seed(seed)
    adapted = with_lora(model, params)
    trained = [weight for weight in adapted.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=params.learning_rate, weight_decay=0.0)
    rng = np.random.default_rng([seed, 5])
    concepts = {name: number for number, name in enumerate(sorted({p.concept for p in pairs}))}
    step_of = TrainingStep(adapted, encoder, params, variant, asking)
    curve = []
    for step in progress(range(variant.steps), "finetuning"):
        chosen = pairs[step * params.pairs_per_step : (step + 1) * params.pairs_per_step]
        first = [examples[pair.first] for pair in chosen]
        second = [examples[pair.second] for pair in chosen]
        shown = [pair.augmentation for pair in chosen]
        kept = [documents[i] for i in rng.integers(len(documents), size=params.retain_per_step)]
        terms = step_of(
            views=[
                encode_view(encoder, e, s) for e, s in zip(first + second, shown * 2, strict=True)
            ],
            labels=torch.tensor([concepts[pair.concept] for pair in chosen]),
            retained=[encoder(document.prompt, document.response) for document in kept],
            answered=[encoder(example.prompt, example.safe_response) for example in first],
        )
        loss = sum(weight * terms[name] for name, weight in weights_of(variant).items() if weight)
        if not torch.isfinite(torch.as_tensor(loss)):
            raise InputError(
                f"the loss is not finite at step {step + 1}; lower finetune.learning_rate"
            )
        optimizer.zero_grad(set_to_none=True)
        torch.as_tensor(loss).backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, params.clip_norm)
        optimizer.step()
        values = {name: float(term.detach()) for name, term in terms.items()}
        curve.append(Step(step=step + 1, gradient_norm=float(norm), **values))
    return adapted.eval(), curve


def write_curve(path: Path, curve: Sequence[Step]) -> None:
    """One line per step, for `dvc plots`; six significant digits."""
    names = [field.name for field in dataclasses.fields(Step)]
    with whole(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as lines:
        lines.write(",".join(names) + "\n")
        for step in curve:
            lines.write(",".join(f"{getattr(step, name):.6g}" for name in names) + "\n")


def weights_of(variant: Variant) -> dict[str, float]:
    return {
        "contrast": variant.contrast_weight,
        "retain": variant.retain_weight,
        "penalty": variant.penalty_weight,
        "response": variant.response_weight,
    }


def encode_view(encoder: Encoder, example: Example, shown: str) -> Encoded:
    """A text as one view of a pair. A part shown alone is the whole message, in the user's turn,
    so that both of its positions stand after it."""
    match shown:
        case "whole":
            return encoder(example.prompt, example.response)
        case "prompt":
            return encoder(example.prompt, "")
        case "response":
            return encoder(example.response, "")
    raise ValueError(f"augmentation {shown!r}: whole, prompt or response")


@dataclass(frozen=True)
class Reading:
    """What a model makes of a batch: the hidden states [B, T, D] of layers 0 to n, and the logits
    [tokens, V] of real tokens. Read once, it serves every term that compares two models."""

    states: tuple[Tensor, ...]
    logits: Tensor


class TrainingStep:
    """Computes the terms that a variant uses; the others are 0 and cost nothing."""

    def __init__(
        self,
        adapted: PeftModel,
        encoder: Encoder,
        params: Finetune,
        variant: Variant,
        asking: Asking,
    ):
        self.adapted, self.encoder = adapted, encoder
        self.params, self.variant, self.asking = params, variant, asking
        self.device = adapted.device

    def __call__(
        self,
        views: Sequence[Encoded],
        labels: Tensor,
        retained: Sequence[Encoded],
        answered: Sequence[Encoded],
    ) -> dict[str, Tensor]:
        """views: 2B texts, view 1 of every pair and then view 2; labels: [B] concepts."""
        zero = torch.zeros((), device=self.device)
        terms = dict.fromkeys(weights_of(self.variant), zero)
        self.adapted.train()
        if self.variant.contrast_weight:
            batch = self.encoder.batch(views, self.device)
            terms["contrast"] = self.contrast(batch, labels.to(self.device))
        if self.variant.retain_weight or self.variant.penalty_weight:
            kept = self.encoder.batch(retained, self.device)
            tuned, frozen = self.readings(kept)
            terms["retain"] = self.retain(kept, tuned, frozen)
            if self.variant.penalty_weight:
                seen = self.encoder.batch(views[: len(labels)], self.device)
                terms["penalty"] = self.penalty(kept, tuned, frozen, seen)
        if self.variant.response_weight:
            terms["response"] = self.response(self.encoder.batch(answered, self.device))
        return terms

    def contrast(self, batch: Batch, labels: Tensor) -> Tensor:
        """The contrastive loss at the target layer, averaged over positions."""
        layer, pairs = self.params.target_layer, len(labels)
        hidden = hidden_states(self.adapted, batch.ids, batch.mask, [layer])[layer].float()
        loss = losses.CONTRASTS[self.variant.contrast]
        at_positions = [batch.at(hidden, position) for position in self.params.positions]
        return torch.stack(
            [loss(z[:pairs], z[pairs:], labels, self.params.temperature) for z in at_positions]
        ).mean()

    def retain(self, batch: Batch, tuned: Reading, frozen: Reading) -> Tensor:
        """How far the states of real tokens moved, layers 1 to n, as a share of their length."""
        real = batch.mask.bool()
        layers = zip(tuned.states[1:], frozen.states[1:], strict=True)
        return torch.stack([losses.retain(h[real], h0[real]) for h, h0 in layers]).mean()

    def penalty(self, kept: Batch, tuned: Reading, frozen: Reading, seen: Batch) -> Tensor:
        """How far predictions moved, averaged over the kinds of text that params name; `kept` are
        the retained texts, already read, and `seen` the pairs' first views."""
        drifts: dict[str, Callable[[], Tensor]] = {
            "retain": lambda: self.divergence(kept, tuned, frozen),
            "pairs": lambda: self.divergence(seen, *self.readings(seen)),
            "interpretations": lambda: self.misreading(kept, tuned, frozen),
        }
        return torch.stack([drifts[texts]() for texts in self.params.penalty_texts]).mean()

    def divergence(self, batch: Batch, tuned: Reading, frozen: Reading) -> Tensor:
        if self.params.penalty == "kl":
            return losses.kl(tuned.logits, frozen.logits)
        real = batch.mask.bool()
        followed = torch.zeros_like(real)
        followed[:, :-1] = batch.predicting()
        targets = batch.ids[:, 1:][batch.predicting()]
        return losses.weighted_nll(
            tuned.logits[followed[real]], frozen.logits[followed[real]], targets, len(batch.ids)
        )

    def misreading(self, batch: Batch, tuned: Reading, frozen: Reading) -> Tensor:
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
            vectors = torch.cat([batch.at(states, name) for name in self.asking.positions])
            ids = asked.expand(len(vectors), -1)
            places = ids == self.encoder.slot
            hidden = read_injected(self.adapted, ids, self.asking, places, vectors.detach())
            return logits_of(self.adapted, hidden[:, len(prompt) - 1 :]).flatten(0, 1)

        with torch.no_grad(), self.adapted.disable_adapter():
            expected = answers(frozen.states[self.asking.layer])
        return losses.kl(answers(tuned.states[self.asking.layer]), expected)

    def readings(self, batch: Batch) -> tuple[Reading, Reading]:
        """What the tuned and the frozen model make of a batch."""
        with torch.no_grad(), self.adapted.disable_adapter():
            frozen = self.read(batch)
        return self.read(batch), frozen

    def read(self, batch: Batch) -> Reading:
        output = decoder_of(self.adapted)(
            input_ids=batch.ids,
            attention_mask=batch.mask,
            output_hidden_states=True,
            use_cache=False,
        )
        real = batch.mask.bool()
        logits = logits_of(self.adapted, output.last_hidden_state[real])
        return Reading(tuple(state.float() for state in output.hidden_states), logits)

    def response(self, batch: Batch) -> Tensor:
        """The negative log-likelihood of the answers given their prompts, per token."""
        places = torch.arange(batch.ids.shape[1], device=self.device)
        real = batch.mask.bool()
        answers = (places[None, :] >= batch.prompt_end[:, None]) & real
        hidden = decoder_of(self.adapted)(
            input_ids=batch.ids, attention_mask=batch.mask, use_cache=False
        ).last_hidden_state
        predicting = answers[:, :-1] & real[:, 1:]
        return losses.next_token_nll(
            logits_of(self.adapted, hidden[:, :-1][predicting]), batch.ids[:, 1:][predicting]
        )
