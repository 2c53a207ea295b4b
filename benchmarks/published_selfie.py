"""SelfIE as it was published, plainly: the yardstick, for benchmarks only.

arXiv 2403.10949 and its public code, from a description of what they compute. One hook writes the
hidden states over the placeholders of eight copies of the interpretation prompt, and the model
goes on greedily with a key-value cache. The relevancy of what it said comes from two more passes
over prompt and answer, with the states and without. Every pass keeps all hidden states and all
attention maps, and makes logits at every token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from pipeline.selfie.prompts import Prompt

BATCH = 8


@dataclass(frozen=True)
class Said:
    """Answers: tokens and the absolute relevancy of each, [N, steps]."""

    tokens: Tensor
    relevancy: Tensor


@torch.no_grad()
def published_interpret(
    model: PreTrainedModel,
    ids: Sequence[int],
    spots: Sequence[tuple[int, int]],
    prompt: Prompt,
    block: int,
    new_tokens: int,
    keep: bool = True,
) -> Said:
    """Interpret (layer, token) spots of one text. keep: all hidden states and attention maps."""
    kept: dict[str, Any] = {"output_hidden_states": True, "output_attentions": True} if keep else {}
    run: Any = model
    states = run(torch.tensor([list(ids)]), output_hidden_states=True).hidden_states
    config = GenerationConfig(
        do_sample=False, max_new_tokens=new_tokens, pad_token_id=0, return_dict_in_generate=True,
        eos_token_id=model.config.eos_token_id, **kept,
    )  # fmt: skip
    tokens, relevancy = [], []
    for start in range(0, len(spots), BATCH):
        chosen = spots[start : start + BATCH]
        vectors = torch.stack([states[layer][0, token] for layer, token in chosen])
        asked = torch.tensor([prompt.ids] * len(chosen))
        handle = (
            model.get_decoder()
            .layers[block]
            .register_forward_pre_hook(_writer(prompt.slots, vectors), with_kwargs=True)
        )
        whole = run.generate(asked, generation_config=config).sequences
        injected = run(whole, **kept).logits
        handle.remove()
        plain = run(whole, **kept).logits
        said = whole[:, asked.shape[1] :]
        probabilities = [
            logits[:, asked.shape[1] - 1 : -1]
            .float()
            .softmax(-1)
            .gather(2, said[..., None])[..., 0]
            for logits in (injected, plain)
        ]
        tokens.append(torch.nn.functional.pad(said, (0, new_tokens - said.shape[1])))
        scores = (probabilities[0] - probabilities[1]).abs()
        relevancy.append(torch.nn.functional.pad(scores, (0, new_tokens - said.shape[1])))
    return Said(torch.cat(tokens), torch.cat(relevancy))


def _writer(slots: Sequence[int], vectors: Tensor) -> Any:
    def write(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        hidden = args[0]
        if hidden.shape[1] == 1:  # a step with the cache
            return None
        hidden = hidden.clone()
        hidden[:, list(slots)] = vectors[:, None]
        return (hidden, *args[1:]), kwargs

    return write
