"""What views may be trained for instead of a contrast of their concepts: rivals, which look at
which texts are harmful, and an attack on a monitor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.models import distributed
from pipeline.training import losses
from pipeline.training.step import StepRead, StepTextKind, TextsRead

BOTH: tuple[StepTextKind, ...] = ("first", "second")  # views, in the order of their flags


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

    As published, turning weighs 1 - t/2 and keeping t/2, with t from 0 to 1 over the finetune. At
    the start, where both cost next to nothing, keeping would win: it costs in proportion to a
    movement, and turning a cosine with its square. Distances are shares of the states' length.
    """
    views, kept = view_states(read), read.progress / 2
    turned = views.mean(losses.turned_back(views.tuned, views.frozen), views.harmful)
    return (1 - kept) * turned + kept * views.mean(views.moved(), ~views.harmful)


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
