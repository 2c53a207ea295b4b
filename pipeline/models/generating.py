"""The library's own generation, by what is asked for alone."""

from typing import Any

from torch import Tensor
from transformers import GenerationConfig


def generate(model: Any, ids: Tensor, asked: GenerationConfig, **inputs: Any) -> Tensor:
    """The ids [B', T'] that a model goes on with after ids [B, T], as `asked` says.

    The library would take what is not asked for from the publisher's generation config: penalties,
    suppressed tokens, other ways to sample. Here the model has none of it, also within an adapter's
    wrapper; it is left as it was.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    holders = {id(holder): holder for holder in (model, inner)}.values()
    theirs = [holder.generation_config for holder in holders]
    for holder in holders:
        holder.generation_config = GenerationConfig()
    try:
        found: Tensor = model.generate(ids, generation_config=asked, **inputs)
    finally:
        for holder, config in zip(holders, theirs, strict=True):
            holder.generation_config = config
    return found
