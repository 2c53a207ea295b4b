"""The training of one MLP that changes what hidden states are: control (arXiv 2403.10949).

Supervised control moves states to targets. Reinforcement control has no targets: it lengthens
states whose interpretation earns a reward of 1, and shortens those that earn -1. The inputs of the
MLP are computed once, and only the MLP runs in a step. The usual method to compare with is a
finetune of the same MLP on responses, with the same steps and texts.
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
from pipeline.edits.delta import mlp_branch_end, mlp_of, mlp_output_norm
from pipeline.models.encoding import Batch, Encoded, Encoder
from pipeline.models.hooks import decoder_blocks, decoder_of, hidden_states
from pipeline.models.logits import logits_of, next_token_nll

TEXTS_PER_BATCH = 64  # whose inputs are read together
# Of each kind of inputs that an edit is to leave alone, the number that a step compares. It changes
# results: more states make locality less noisy, and every step slower.
REFERENCE_STATES = 256

MlpLoss = Callable[[nn.Module, Tensor], Tensor]
"""An MLP, and the indices [T] of a step's texts, to a scalar loss."""


@dataclass(frozen=True)
class MlpInputs:
    """An MLP's inputs `pre` at chosen tokens, and the residual stream `rest` that its output is
    added to: both [N, D], in float32. The states after its block are norm(mlp(pre)) + rest."""

    pre: Tensor
    rest: Tensor
    norm: nn.Module

    def states(self, mlp: nn.Module, chosen: Tensor | slice = slice(None)) -> Tensor:
        """The hidden states [T, D] that an MLP gives at chosen indices, or at all."""
        states: Tensor = self.norm(mlp(self.pre[chosen])) + self.rest[chosen]
        return states


@torch.no_grad()
def read_inputs(
    model: PreTrainedModel,
    encoder: Encoder,
    texts: Sequence[Encoded],
    layer: int,
    position: TokenPosition | None,
) -> MlpInputs:
    """The inputs of the MLP of block layer - 1 at one position of every text, [texts, D], or (None)
    at all their tokens, [tokens, D]."""
    mlp, block = mlp_of(model, layer), decoder_blocks(model)[layer - 1]
    seen, pres, rests = dict[str, Tensor](), [], []

    def see_input(_: nn.Module, args: tuple[Any, ...]) -> None:
        seen["pre"] = args[0]

    def see_output(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        seen["output"] = output

    handles = [
        mlp.register_forward_pre_hook(see_input),
        mlp_branch_end(block).register_forward_hook(see_output),
    ]
    try:
        for start in range(0, len(texts), TEXTS_PER_BATCH):
            batch = encoder.batch(texts[start : start + TEXTS_PER_BATCH], model.device)
            after = hidden_states(model, batch.ids, batch.mask, [layer])[layer]
            pres.append(_at(batch, seen["pre"], position).float())
            rests.append(
                (_at(batch, after, position) - _at(batch, seen["output"], position)).float()
            )
    finally:
        for handle in handles:
            handle.remove()
    return MlpInputs(torch.cat(pres), torch.cat(rests), mlp_output_norm(block))


def _at(batch: Batch, hidden: Tensor, position: TokenPosition | None) -> Tensor:
    return hidden[batch.mask.bool()] if position is None else batch.at(hidden, position)


def float32_copy(mlp: nn.Module) -> nn.Module:
    """A float32 copy to train: bfloat16 would round most of a small update away."""
    trained = copy.deepcopy(mlp).float()
    trained.requires_grad_(True)
    return trained


def target_distance(states: Tensor, targets: Tensor) -> Tensor:
    """The mean squared error of states from their targets, both [T, D]."""
    return nn.functional.mse_loss(states, targets)


def negative_reward(states: Tensor, rewards: Tensor) -> Tensor:
    """-mean_t R_t (h_t . sg(h_t)) / |sg(h_t)|^2, with sg the stop of the gradient.

    Its value is -mean_t R_t, and its gradient in h_t is -R_t h_t / (T |h_t|^2). states: [T, D];
    rewards: [T], each -1, 0 or 1.
    """
    frozen = states.detach()
    lengths = (states * frozen).sum(-1) / frozen.square().sum(-1)
    return -(rewards.to(lengths) * lengths).mean()


def targets_for(
    states: Tensor, contrary: Tensor, kind: str, strength: float, generator: torch.Generator
) -> Tensor:
    """The targets of states [N, D].

    `apart`: each state plus `strength` times the mean of states minus the mean of contrary ones
    [M, D], which leads away from them. `random`: as far, in a random direction.
    """
    direction = states.mean(0) - contrary.mean(0)
    if kind == "random":
        noise = torch.randn(direction.shape, generator=generator).to(direction)
        direction = nn.functional.normalize(noise, dim=0) * direction.norm()
    return states + strength * direction


def supervised_loss(inputs: MlpInputs, targets: Tensor) -> MlpLoss:
    """target_distance of the states that the MLP gives inputs [N, D], with targets [N, D]."""
    return lambda mlp, chosen: target_distance(inputs.states(mlp, chosen), targets[chosen])


def reinforcement_loss(inputs: MlpInputs, reward: Callable[[Tensor, Tensor], Tensor]) -> MlpLoss:
    """negative_reward of the states that the MLP gives inputs [N, D]. Every step computes their
    rewards anew (rewards.Reward)."""

    def loss(mlp: nn.Module, chosen: Tensor) -> Tensor:
        states = inputs.states(mlp, chosen)
        return negative_reward(states, reward(states.detach(), chosen))

    return loss


def response_loss(
    model: PreTrainedModel, encoder: Encoder, texts: Sequence[Encoded], layer: int
) -> MlpLoss:
    """-mean_t log p of the responses' tokens, in nats, with the MLP put into the model."""

    def loss(mlp: nn.Module, chosen: Tensor) -> Tensor:
        batch = encoder.batch([texts[int(index)] for index in chosen], model.device)
        with mlp_replaced(model, layer, mlp):
            hidden = decoder_of(model)(
                input_ids=batch.ids, attention_mask=batch.mask, use_cache=False
            ).last_hidden_state
        indices = torch.arange(batch.ids.shape[1] - 1, device=model.device)
        answering = batch.predicting() & (indices >= batch.prompt_end[:, None])
        return next_token_nll(
            logits_of(model, hidden[:, :-1][answering]), batch.ids[:, 1:][answering]
        )

    return loss


class _Float32Mlp(nn.Module):
    """A float32 MLP inside a model of another dtype."""

    def __init__(self, mlp: nn.Module):
        super().__init__()
        self.mlp = mlp

    def forward(self, hidden: Tensor) -> Tensor:
        output: Tensor = self.mlp(hidden.float()).to(hidden.dtype)
        return output


@contextmanager
def mlp_replaced(model: PreTrainedModel, layer: int, mlp: nn.Module) -> Iterator[None]:
    """Within, block layer - 1 uses this MLP instead of its own."""
    block = decoder_blocks(model)[layer - 1]
    own = block.mlp
    block.mlp = _Float32Mlp(mlp)
    try:
        yield
    finally:
        block.mlp = own


def train_mlp(
    mlp: nn.Module,
    loss: MlpLoss,
    texts: int,
    reference: Sequence[MlpInputs],
    row: EditRow,
    texts_per_step: int,
    generator: torch.Generator,
) -> dict[str, float]:
    """Train an MLP in place with Adam, for row.steps steps of `texts_per_step` of `texts` texts.

    reference: inputs of one or more kinds whose states are to stay as they are. Locality is the
    mean squared change of these states, averaged over kinds; the loss takes it times
    row.locality_weight.
    Returns first_loss, last_loss and last_locality: of the first and the last step, before their
    updates, and without the locality in the losses. Raises InputError where the loss or a weight is
    no longer finite.
    """
    with torch.no_grad():
        kept = [inputs.states(mlp) for inputs in reference]
    batches = [_index_batches(texts, texts_per_step, generator)]
    batches += [_index_batches(len(i.pre), REFERENCE_STATES, generator) for i in reference]
    optimizer = torch.optim.Adam(mlp.parameters(), lr=row.learning_rate, fused=True)
    notes: dict[str, float] = {}
    for step in progress(range(row.steps), f"editing by {row.method}"):
        chosen, *of_reference = (next(batch) for batch in batches)
        main = loss(mlp, chosen)
        changes = [
            nn.functional.mse_loss(inputs.states(mlp, indices), states[indices])
            for inputs, states, indices in zip(reference, kept, of_reference, strict=True)
        ]
        locality = torch.stack(changes).mean() if changes else torch.zeros(())
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


def _index_batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Without end, the next `size` of `count` indices (all, where there are fewer), in an order
    that is drawn once and repeated."""
    order, start = torch.randperm(count, generator=generator), 0
    while True:
        yield order[torch.arange(start, start + min(size, count)) % count]
        start += size
