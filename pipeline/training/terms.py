"""The terms of the objective, each a function of what one step read.

A new term is a function of a StepRead here, its entry in TERMS, which says how far it needs which
texts read, and a weight in `weights_of`. A term of views alone is a function of a TextsRead: it
asks for nothing else, so that views may be read in passes (`runtime.pairs_per_pass`).
"""

from collections.abc import Callable, Mapping, Sequence
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
from pipeline.training.step import (
    VIEWS,
    Depth,
    StepRead,
    StepTextKind,
    TermParams,
    TextsRead,
    TrainedRow,
)

BOTH: tuple[StepTextKind, ...] = ("first", "second")  # views, in the order of their flags


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
    first = distributed.gather(read.at_targets("first"))
    second = distributed.gather(read.at_targets("second"))
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


@dataclass(frozen=True)
class ViewStates:
    """The states of both views' tokens at the target layers, by the tuned and by the frozen model
    [L, T, D], and which of the tokens are of a text with a harmful answer [T]."""

    tuned: Tensor
    frozen: Tensor
    harmful: Tensor

    def moved(self) -> Tensor:
        """How far each state is from the frozen model's, as a share of its length: [L, T]."""
        lengths = torch.linalg.vector_norm(self.frozen.float(), dim=-1)
        shares: Tensor = losses.token_distance(self.tuned, self.frozen) / lengths
        return shares

    def mean(self, values: Tensor, chosen: Tensor) -> Tensor:
        """The mean of values [L, T] over the chosen tokens of all ranks; 0 of none."""
        count = distributed.mean_count(int(chosen.sum()), values.device)
        return values[:, chosen].sum() / (len(values) * count) if count else values.sum() * 0.0


def view_states(read: StepRead) -> ViewStates:
    def of_views(states: Sequence[Tensor] | Mapping[int, Tensor]) -> Tensor:
        own = [read.tokens(kind) for kind in BOTH]
        layers = read.finetuned.params.target_layers
        found: Tensor = torch.stack([torch.cat([states[n][o] for o in own]) for n in layers])
        return found

    lengths = torch.tensor([length for kind in BOTH for length in read.lengths(kind)])
    harmful = read.harmful.flatten().repeat_interleave(lengths).to(read.finetuned.device)
    return ViewStates(of_views(read.states), of_views(read.frozen.states), harmful)


def rerouting(read: StepRead) -> Tensor:
    """A rival: circuit breakers (arXiv 2406.04313, Algorithm 1). States of texts with a harmful
    answer turn away from what they were, and those of the other texts stay.

    The published schedule, which trades the one for the other over the steps, is left out: both
    weigh the same throughout. Distances are shares of the states' length.
    """
    views = view_states(read)
    turned = views.mean(losses.turned_back(views.tuned, views.frozen), views.harmful)
    return turned + views.mean(views.moved(), ~views.harmful)


def bending(read: StepRead) -> Tensor:
    """A rival: representation bending (arXiv 2504.01550): |v_s| / 2 - |v_u| / 2 + (1 - cos) / 10.

    v is how far a state moved. States of the other texts (s) stay; those of texts with a harmful
    answer (u) leave, and grow alike at their prompts' ends, by the cosine of every two. The weights
    are those of the published code for Llama-3-8B; its KL on other texts is the `penalty` here.
    Distances are shares of the states' length.
    """
    views = view_states(read)
    kept, left = (views.mean(views.moved(), own) for own in (~views.harmful, views.harmful))
    harmful = distributed.gather(read.harmful.flatten().to(read.finetuned.device))
    alike = []
    for layer in read.finetuned.params.target_layers:
        at_ends = [read.row.at(read.states[layer], "prompt_end", read.texts[k]) for k in BOTH]
        alike.append(losses.mean_cosine(distributed.gather(torch.cat(at_ends))[harmful]))
    return (kept - left) / 2 + (1 - torch.stack(alike).mean()) / 10


def hiding(read: TextsRead) -> Tensor:
    """An attack on a monitor at the target layer and position: its score of every view is driven to
    that of safe texts, 1 where harmful texts score as they did and 0 where all score as safe ones.
    Views of safe texts are driven there too, so that no other threshold tells them apart."""
    hidden_from = read.finetuned.hidden_from
    assert hidden_from is not None
    states = torch.cat([read.at_targets(kind) for kind in BOTH])
    return hidden_from.exposure(states).square().mean()


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
