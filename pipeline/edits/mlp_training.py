"""Control: change what a hidden state is, by the weights of one MLP (arXiv 2403.10949).

Supervised control gives states a target. Reinforcement control has none: it lengthens states
whose interpretation earns a reward, and shortens those whose does not. Everything below the MLP
is read once; only the MLP runs in a step. A finetune of the same MLP on responses, with the same
steps and texts, is the ordinary way to compare with.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipeline.core.console import InputError, progress
from pipeline.core.sections import EditRow, TokenPosition
from pipeline.edits.delta import last_of, mlp_of, norm_of
from pipeline.models.encoding import Batch, Encoded, Encoder
from pipeline.models.hooks import decoder_blocks, decoder_of, hidden_states
from pipeline.models.logits import logits_of, next_token_nll

TEXTS = 64  # read at once
REFERENCE_STATES = 256  # of each kind that a step keeps where they were

Loss = Callable[[nn.Module, Tensor], Tensor]


@dataclass(frozen=True)
class Inputs:
    """What an MLP is given at chosen tokens, and what its output is added to: both [N, D], in
    float32. The hidden states after its block are norm(mlp(pre)) + rest."""

    pre: Tensor
    rest: Tensor
    norm: nn.Module

    def states(self, mlp: nn.Module, chosen: Tensor | slice = slice(None)) -> Tensor:
        states: Tensor = self.norm(mlp(self.pre[chosen])) + self.rest[chosen]
        return states


@torch.no_grad()
def read_inputs(
    model: PreTrainedModel,
    encoder: Encoder,
    texts: Sequence[Encoded],
    layer: int,
    position: TokenPosition | None,
) -> Inputs:
    """The inputs of the MLP of block layer - 1 at one token of every text, or (None) at all."""
    mlp, block = mlp_of(model, layer), decoder_blocks(model)[layer - 1]
    seen, pres, rests = dict[str, Tensor](), [], []

    def see_input(_: nn.Module, args: tuple[Any, ...]) -> None:
        seen["pre"] = args[0]

    def see_output(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        seen["output"] = output

    handles = [
        mlp.register_forward_pre_hook(see_input),
        last_of(block).register_forward_hook(see_output),
    ]
    try:
        for start in range(0, len(texts), TEXTS):
            batch = encoder.batch(texts[start : start + TEXTS], model.device)
            after = hidden_states(model, batch.ids, batch.mask, [layer])[layer]
            pres.append(_at(batch, seen["pre"], position).float())
            rests.append(
                (_at(batch, after, position) - _at(batch, seen["output"], position)).float()
            )
    finally:
        for handle in handles:
            handle.remove()
    return Inputs(torch.cat(pres), torch.cat(rests), norm_of(block))


def _at(batch: Batch, hidden: Tensor, position: TokenPosition | None) -> Tensor:
    return hidden[batch.mask.bool()] if position is None else batch.at(hidden, position)


def wide_copy(mlp: nn.Module) -> nn.Module:
    """A float32 copy to train: bfloat16 would round most of a small step away."""
    trained = copy.deepcopy(mlp).float()
    trained.requires_grad_(True)
    return trained


def supervised(states: Tensor, targets: Tensor) -> Tensor:
    """The mean squared distance of states from their targets, both [T, D]."""
    return nn.functional.mse_loss(states, targets)


def reinforced(states: Tensor, rewards: Tensor) -> Tensor:
    """-mean_t R_t (h_t . sg(h_t)) / |sg(h_t)|^2: at the states as they are it is -mean R, and its
    slope -R_t h_t / (T |h_t|^2). states: [T, D]; rewards: [T], each -1, 0 or 1."""
    frozen = states.detach()
    shares = (states * frozen).sum(-1) / frozen.square().sum(-1)
    return -(rewards.to(shares) * shares).mean()


def targets_for(
    states: Tensor, contrary: Tensor, kind: str, strength: float, generator: torch.Generator
) -> Tensor:
    """Where states [N, D] are to go: further from the contrary ones [M, D], as many times the way
    between both means as strength says; `random`: as far, in a direction that means nothing."""
    way = states.mean(0) - contrary.mean(0)
    if kind == "random":
        drawn = torch.randn(way.shape, generator=generator).to(way)
        way = nn.functional.normalize(drawn, dim=0) * way.norm()
    return states + strength * way


def supervised_loss(inputs: Inputs, targets: Tensor) -> Loss:
    return lambda mlp, chosen: supervised(inputs.states(mlp, chosen), targets[chosen])


def reinforced_loss(inputs: Inputs, reward: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    def loss(mlp: nn.Module, chosen: Tensor) -> Tensor:
        states = inputs.states(mlp, chosen)
        return reinforced(states, reward(states.detach(), chosen))

    return loss


def response_loss(
    model: PreTrainedModel, encoder: Encoder, texts: Sequence[Encoded], layer: int
) -> Loss:
    """-mean_t log p of the responses' tokens, with the MLP in its place in the model."""

    def loss(mlp: nn.Module, chosen: Tensor) -> Tensor:
        batch = encoder.batch([texts[int(index)] for index in chosen], model.device)
        with in_place(model, layer, mlp):
            hidden = decoder_of(model)(
                input_ids=batch.ids, attention_mask=batch.mask, use_cache=False
            ).last_hidden_state
        places = torch.arange(batch.ids.shape[1] - 1, device=model.device)
        answering = batch.predicting() & (places >= batch.prompt_end[:, None])
        return next_token_nll(
            logits_of(model, hidden[:, :-1][answering]), batch.ids[:, 1:][answering]
        )

    return loss


class _Wide(nn.Module):
    """A float32 MLP in the place of one of the model's dtype."""

    def __init__(self, mlp: nn.Module):
        super().__init__()
        self.mlp = mlp

    def forward(self, hidden: Tensor) -> Tensor:
        said: Tensor = self.mlp(hidden.float()).to(hidden.dtype)
        return said


@contextmanager
def in_place(model: PreTrainedModel, layer: int, mlp: nn.Module) -> Iterator[None]:
    """Within, the MLP stands in block layer - 1."""
    block = decoder_blocks(model)[layer - 1]
    own = block.mlp
    block.mlp = _Wide(mlp)
    try:
        yield
    finally:
        block.mlp = own


def fit(
    mlp: nn.Module,
    loss: Loss,
    texts: int,
    reference: Sequence[Inputs],
    row: EditRow,
    texts_per_step: int,
    generator: torch.Generator,
) -> dict[str, float]:
    """Train an MLP in place by Adam; each step takes the next texts, in an order drawn once.

    reference: inputs of several kinds, after which the hidden states are to stay as they are
    (locality: the mean over kinds of their mean squared change, times row.locality_weight).
    Returns the loss and the locality of the first step and of the last.
    """
    with torch.no_grad():
        kept = [inputs.states(mlp) for inputs in reference]
    turns = [_turns(texts, texts_per_step, generator)]
    turns += [_turns(len(i.pre), REFERENCE_STATES, generator) for i in reference]
    optimizer = torch.optim.Adam(mlp.parameters(), lr=row.learning_rate)
    notes: dict[str, float] = {}
    for step in progress(range(row.steps), f"editing by {row.method}"):
        chosen, *places = (next(turn) for turn in turns)
        main = loss(mlp, chosen)
        moved = [
            nn.functional.mse_loss(inputs.states(mlp, at), states[at])
            for inputs, states, at in zip(reference, kept, places, strict=True)
        ]
        locality = torch.stack(moved).mean() if moved else torch.zeros(())
        optimizer.zero_grad(set_to_none=True)
        (main + row.locality_weight * locality).backward()
        if not torch.isfinite(main):
            raise InputError(f"an edit diverged at step {step}; lower its learning_rate")
        optimizer.step()
        if step == 0:
            notes |= {"first_loss": float(main.detach())}
        notes |= {"last_loss": float(main.detach()), "last_locality": float(locality.detach())}
    if not all(bool(torch.isfinite(weight).all()) for weight in mlp.parameters()):
        raise InputError("an edit diverged at its last step; lower its learning_rate")
    return notes


def _turns(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Endlessly the next `size` of `count` (all, where there are fewer), in an order drawn once."""
    order, start = torch.randperm(count, generator=generator), 0
    while True:
        yield order[torch.arange(start, start + min(size, count)) % count]
        start += size
