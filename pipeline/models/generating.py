"""The library's own generation: by what is asked for alone, and in batches only where that is the
same."""

from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from pipeline.core.console import is_out_of_memory
from pipeline.models.hooks import config_of
from pipeline.models.padding import padded


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


@torch.no_grad()
def ignores_padding(model: Any) -> bool:
    """Whether rows that are filled up on the left go on as each would alone: tried, not assumed.

    Some families, such as Marian and Pegasus, count positions over the filling.
    """
    vocabulary = config_of(model).vocab_size
    rows = [[(7 * length + 3 * at) % vocabulary for at in range(length)] for length in (6, 3)]
    asked = GenerationConfig(
        max_new_tokens=1, do_sample=False, pad_token_id=0, eos_token_id=[],
        output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip

    def logits(chosen: list[list[int]]) -> Tensor:
        ids, mask = (part.to(model.device) for part in padded(chosen, 0, "left"))
        found: Any = generate(model, ids, asked, attention_mask=mask)
        return torch.stack(found.logits, 1).float()

    try:
        together, alone = logits(rows), torch.cat([logits([row]) for row in rows])
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        if is_out_of_memory(error):
            raise
        return False
    precise = model.dtype in (torch.float32, torch.float64)
    return bool((together - alone).norm() < (1e-3 if precise else 5e-2) * alone.norm())
