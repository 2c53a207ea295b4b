"""The terms of the objective, each a function of what one step read.

A new term is a function of a StepRead here, its entry in TERMS, which says how far it needs which
texts read, and a weight in `weights_of`. A term of views alone is a function of a TextsRead: it
asks for nothing else, so that views may be read in passes (`runtime.pairs_per_pass`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pipeline.models import distributed
from pipeline.models.fused_lora import switched_off
from pipeline.models.hooks import read_injected
from pipeline.models.logits import kl, next_token_nll, token_kl
from pipeline.training import losses
from pipeline.training.instead_of_contrast import BOTH, bending, hiding, rerouting
from pipeline.training.step import (
    VIEWS,
    Depth,
    StepRead,
    StepTextKind,
    TermParams,
    TextsRead,
    TrainedRow,
)


@dataclass(frozen=True)
class Term:
    """The value of a term, how far it needs each kind of text read, and whether it needs the
    distances of retained texts' states."""

    value: Callable[[Any], Tensor]  # of a StepRead, or for views alone of a TextsRead
    needs: Mapping[StepTextKind, Depth]
    distances: bool = False

    @property
    def of_views(self) -> bool:
        """Whether it needs views alone, and no layer of the frozen model's between the first and
        the last: then they may be read in passes."""
        return self.needs.keys() <= VIEWS and max(self.needs.values()) < Depth.EVERY_LAYER


def contrast(read: TextsRead) -> Tensor:
    """The contrastive loss of the views, averaged over layers and positions, over all ranks."""
    finetuned = read.finetuned
    loss = losses.CONTRASTS[finetuned.variant.contrast]
    first, second = (
        distributed.gather(finetuned.contrasted(read.at_targets(view)))
        for view in ("first", "second")
    )
    labels = distributed.gather(read.labels.to(finetuned.device))
    by_target = zip(first.unbind(1), second.unbind(1), strict=True)
    temperature = finetuned.params.temperature
    return torch.stack([loss(z1, z2, labels, temperature) for z1, z2 in by_target]).mean()


def retain(read: StepRead) -> Tensor:
    """How far the states of retained texts' tokens moved, layers 1 to n."""
    if read.finetuned.params.retain == "l2":
        return losses.retain_l2(read.distances, read.row.lengths[read.texts["retained"]])
    own = read.tokens("retained")
    norms = [torch.linalg.vector_norm(h[own].float(), dim=-1) for h in read.frozen.states[1:]]
    tokens = read.distances.shape[1]
    part = tokens / distributed.mean_count(tokens, read.finetuned.device)
    return part * losses.relative_movement(read.distances, torch.stack(norms))


def penalty(kind: StepTextKind, read: TextsRead) -> Tensor:
    """How far the predictions at real tokens of a kind of text moved, averaged over their tokens,
    or for the published penalty over the texts, on all ranks."""
    finetuned, lengths = read.finetuned, read.lengths(kind)
    number = sum(lengths) if finetuned.params.penalty == "kl" else len(lengths)
    count = distributed.mean_count(number, finetuned.device)
    return read.summed(kind, partial(summed_penalty, kind)) / count


def summed_penalty(kind: StepTextKind, read: StepRead) -> Tensor:
    """The same, summed over a row: the KL of every token, or the published code's weighted
    likelihood."""
    finetuned, row = read.finetuned, read.row
    if finetuned.params.penalty == "kl":
        own = read.tokens(kind)
        before = read.frozen.final[own]

        def divergence(hidden: Tensor, part: slice) -> Tensor:
            return token_kl(finetuned.logits(hidden), finetuned.logits(before[part])).sum()

        return finetuned.summed(read.final[own], divergence)
    tokens = row.predicting(read.texts[kind])
    before, following = read.frozen.final[tokens], row.ids[tokens + 1]

    def likelihood(hidden: Tensor, part: slice) -> Tensor:
        logits = finetuned.logits(hidden), finetuned.logits(before[part])
        return losses.weighted_nll(*logits, following[part], texts=1)

    return finetuned.summed(read.final[tokens], likelihood)


def interpretation_penalty(read: StepRead) -> Tensor:
    """How differently the tuned and the frozen model put their own states of the same texts into
    words: KL over the answer's opening, at every position of asking.

    Without it the finetune moves states to where the model was never taught to read them.
    Only the reading learns: states are not moved towards what is easy to read, so that this
    term separates nothing by itself.
    """
    finetuned, asking, encoder = read.finetuned, read.finetuned.asking, read.finetuned.encoder
    opening = asking.answer.partition("{concept}")[0].rstrip()
    prompt = encoder.placeholder_prompt(asking.question, asking.placeholders)
    asked = torch.tensor([*prompt, *encoder.answers([opening])[0]], device=finetuned.device)

    def answers(states: Tensor) -> Tensor:
        own = [read.row.at(states, name, read.texts["retained"]) for name in asking.positions]
        vectors = torch.cat(own).detach()
        ids = asked.expand(len(vectors), -1)
        hidden = read_injected(finetuned.adapted, ids, asking, ids == encoder.slot, vectors)
        return finetuned.logits(hidden[:, len(prompt) - 1 :]).flatten(0, 1)

    with torch.no_grad(), switched_off(finetuned.adapted):
        expected = answers(read.frozen.states[asking.layer])
    return kl(answers(read.states[asking.layer]), expected)


def response(read: StepRead) -> Tensor:
    """The negative log-likelihood of the answers given their prompts, per token."""
    finetuned, row, texts = read.finetuned, read.row, read.texts["answered"]
    tokens = row.predicting(texts)
    followed = torch.tensor(row.lengths[texts], device=finetuned.device) - 1
    tokens = tokens[tokens >= torch.repeat_interleave(row.prompt_end[texts], followed)]
    following = row.ids[tokens + 1]

    def nll(hidden: Tensor, part: slice) -> Tensor:
        return next_token_nll(finetuned.logits(hidden), following[part]) * len(hidden)

    count = distributed.mean_count(len(tokens), finetuned.device)
    if not count:  # no text of this step has an answer
        return read.final.sum() * 0.0
    return finetuned.summed(read.final[tokens], nll) / count


TERMS = {
    "contrast": Term(contrast, {"first": Depth.TARGET, "second": Depth.TARGET}),
    "retain": Term(retain, {"retained": Depth.EVERY_LAYER}, distances=True),
    "penalty on retain": Term(partial(penalty, "retained"), {"retained": Depth.COMPARED}),
    "penalty on interpretations": Term(interpretation_penalty, {"retained": Depth.EVERY_LAYER}),
    "penalty on pairs": Term(partial(penalty, "first"), {"first": Depth.COMPARED}),
    "response": Term(response, {"answered": Depth.END}),
}  # in the order in which a step computes them
OF_VIEWS: Mapping[StepTextKind, Depth] = dict.fromkeys(BOTH, Depth.EVERY_LAYER)
# Instead of a contrast, by its name: they look at which texts are harmful, and at no concept.
RIVALS = {"rerouting": Term(rerouting, OF_VIEWS), "bending": Term(bending, OF_VIEWS)}
INSTEAD = {**RIVALS, "hiding": Term(hiding, dict.fromkeys(BOTH, Depth.TARGET))}


def weights_of(variant: TrainedRow) -> dict[str, float]:
    """The weight of every term of the objective, by name."""
    return {
        "contrast": variant.contrast_weight,
        "retain": variant.retain_weight,
        "penalty": variant.penalty_weight,
        "response": variant.response_weight,
    }


def used_terms(variant: TrainedRow, params: TermParams) -> dict[str, Term]:
    """The entries of TERMS that a variant gives weight to."""
    used = {name for name, weight in weights_of(variant).items() if weight}
    if "penalty" in used:
        used |= set(penalties(params))
    terms = {name: term for name, term in TERMS.items() if name in used}
    if variant.contrast in INSTEAD:
        terms["contrast"] = INSTEAD[variant.contrast]
    return terms


def penalties(params: TermParams) -> list[str]:
    """The entries of TERMS whose mean is the penalty."""
    return [f"penalty on {texts}" for texts in params.penalty_texts]
