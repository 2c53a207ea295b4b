"""SelfIE as a plain loop: no cache, no batch, vectors written by a plain hook at every pass."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pipeline.models.hooks import decoder_blocks
from pipeline.selfie.any_decoder import Injection
from pipeline.selfie.prompts import Prompt


@torch.no_grad()
def next_token_probabilities(
    model: Any, ids: Sequence[int], prompt: Prompt, written: Tensor | None, how: Injection
) -> Tensor:
    """The oracle: next-token probabilities [V] after ids, no cache, one text, vectors [V, D]
    written by a plain hook at every pass."""

    def write(_: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
        assert written is not None
        hidden = (args[0] if args else kwargs["hidden_states"]).clone()
        for slot, number in zip(prompt.slots, prompt.numbers, strict=True):
            h, v = hidden[0, slot], written[number]
            hidden[0, slot] = {
                "replace": how.scale * v + (1 - how.scale) * h,
                "add": h + how.scale * v,
                "norm_matched": h + how.scale * h.norm() * v / v.norm(),
            }[how.mode]
        return ((hidden, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": hidden})

    blocks = decoder_blocks(model)
    handles = []
    if written is not None:
        hook = blocks[how.inject_layer].register_forward_pre_hook(write, with_kwargs=True)
        handles.append(hook)
    logits = model(torch.tensor([list(ids)]), use_cache=False).logits[0, -1]
    for handle in handles:
        handle.remove()
    return logits.float().softmax(-1)


def plainly(
    model: Any, prompt: Prompt, written: Tensor, how: Injection, steps: int
) -> tuple[list[int], list[float]]:
    """The oracle's greedy answer and signed relevancy."""
    ids, scores = list(prompt.ids), []
    for _ in range(steps):
        sure = next_token_probabilities(model, ids, prompt, written, how)
        token = int(sure.argmax())
        scores.append(
            float(sure[token] - next_token_probabilities(model, ids, prompt, None, how)[token])
        )
        ids.append(token)
    return ids[len(prompt.ids) :], scores
