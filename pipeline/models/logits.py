"""Logits of hidden states, and what is measured on them, for a few hundred tokens at a time."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from pipeline.models.hooks import decoder_of, running

LOGITS_AT_ONCE = 2**20  # how many may exist, unless that is less than FEWEST_TOKENS' worth
# With 49,152 words 25 MB: tensors from 32 MB on are mapped and zeroed anew, each time.
FEWEST_TOKENS = 128
ChunkValue = Callable[[Tensor, slice], Tensor]  # of hidden states, and which they are of all


def logits_of(model: Any, hidden: Tensor) -> Tensor:
    """The logits of final hidden states [..., D]: float32 [..., V].

    The model's own forward makes them, with a decoder that only hands on these states: whatever it
    does beside its head, as Gemma's soft cap or the scales of Cohere and Granite, is done here too.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    row = hidden.reshape(1, -1, hidden.shape[-1])
    with running(decoder_of(model), lambda *_, **__: _Handed(last_hidden_state=row)):
        logits: Tensor = inner(inputs_embeds=row, use_cache=False, return_dict=True).logits
    return logits.float().reshape(*hidden.shape[:-1], -1)


class _Handed(BaseModelOutput):
    """Final hidden states, and None for whatever else a model asks of its decoder."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def kl(tuned_logits: Tensor, frozen_logits: Tensor) -> Tensor:
    """mean_t KL(p0_t || p_t) over the whole vocabulary, in nats; logits [tokens, V]."""
    return token_kl(tuned_logits, frozen_logits).mean()


def token_kl(tuned_logits: Tensor, frozen_logits: Tensor) -> Tensor:
    """KL(p0_t || p_t) of each token, in nats: logits [tokens, V] to [tokens].

    What the frozen model rules out (a logit of -inf) adds nothing, whatever the tuned one says of
    it; what the tuned model alone rules out makes the divergence infinite.
    """
    frozen = frozen_logits.log_softmax(dim=-1)
    probability = frozen.exp()
    ratio = frozen - tuned_logits.log_softmax(dim=-1)
    return (probability * ratio.masked_fill(probability == 0, 0.0)).sum(-1)


def next_token_nll(logits: Tensor, targets: Tensor) -> Tensor:
    """-mean_t log p(y_t), in nats; logits [tokens, V], targets [tokens]."""
    return F.cross_entropy(logits, targets)


def chunks(tokens: int, size: int) -> Iterator[slice]:
    """Consecutive parts of so many tokens, each of at most `size`."""
    return (slice(start, start + size) for start in range(0, tokens, size))


def chunk_size(vocabulary: int) -> int:
    """How many tokens' logits a finetune step, which keeps much else, has at once."""
    return max(FEWEST_TOKENS, LOGITS_AT_ONCE // vocabulary)


def joined_chunks(hidden: Tensor, value: ChunkValue, size: int) -> Tensor:
    """value(hidden[part], part), [..., tokens of the part], of all parts end to end: [..., N].

    hidden: final states [N, D]. What `value` builds, such as logits over a whole vocabulary, exists
    for `size` tokens at a time. Without gradient.
    """
    return torch.cat([value(hidden[part], part) for part in chunks(len(hidden), size)], dim=-1)


def summed_chunks(hidden: Tensor, value: ChunkValue, size: int) -> Tensor:
    """The sum of the scalars value(hidden[part], part), with gradient: [N, D] to a scalar.

    The gradient of each part is taken on the way forward, so that here too what `value` builds
    exists for `size` tokens at a time, and nothing runs again in the backward pass.
    """
    if not (hidden.requires_grad and torch.is_grad_enabled()):
        values = [value(hidden[part], part) for part in chunks(len(hidden), size)]
        return torch.stack(values).sum()
    total: Tensor = _SummedChunks.apply(hidden, value, size)  # type: ignore[no-untyped-call]
    return total


class _SummedChunks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, value: ChunkValue, size: int) -> Tensor:
        gradient, total = torch.empty_like(hidden), torch.zeros((), device=hidden.device)
        for part in chunks(len(hidden), size):
            with torch.enable_grad():
                own = hidden[part].detach().requires_grad_()
                found = value(own, part)
            (gradient[part],) = torch.autograd.grad(found, own)
            total = total + found.detach()
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return (outer * gradient).to(gradient), None, None
