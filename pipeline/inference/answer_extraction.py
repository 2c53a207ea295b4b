"""The states of answers, token by token, from one forward pass over each finished answer.

A causal model's state at a token does not depend on later tokens. These are therefore the states
that a monitor would have read while the answer was generated.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.console import progress
from pipeline.inference.fingerprint import signature_of
from pipeline.models.encoding import Encoded, token_batches
from pipeline.models.hooks import config_of
from pipeline.models.packing import pack
from pipeline.models.reader_check import reader_for
from pipeline.monitors.answer_states import POSITIONS, AnswerStates


def read_streams(
    model: PreTrainedModel,
    texts: Sequence[Encoded],
    names: Sequence[tuple[str, int]],
    layer: int,
    tokens_per_batch: int,
) -> AnswerStates:
    """The states of texts at `layer`, for every token from the prompt's end on.

    names: the id and sample number of each text. A batch holds at most `tokens_per_batch` tokens.
    """
    found = {
        i: running_states(states)[:, texts[i].prompt_end :].cpu()
        for i, states in read_tokens(model, texts, layer, tokens_per_batch)
    }
    empty = torch.zeros(len(POSITIONS), 0, config_of(model).hidden_size)
    states = torch.cat([empty, *(found[i] for i in range(len(texts)))], dim=1).numpy()
    return AnswerStates(
        layer=layer,
        states={position: np.ascontiguousarray(states[p]) for p, position in enumerate(POSITIONS)},
        ids=tuple(name for name, _ in names),
        samples=tuple(sample for _, sample in names),
        lengths=tuple(found[i].shape[1] for i in range(len(texts))),
        signature=signature_of(model, layer).numpy(),
    )


@torch.no_grad()
def read_tokens(
    model: PreTrainedModel, texts: Sequence[Encoded], layer: int, tokens_per_batch: int
) -> Iterator[tuple[int, Tensor]]:
    """The number of each text and the states [t, D] of its tokens at `layer`, batch by batch.

    Blocks above the layer do not run. A batch holds at most `tokens_per_batch` tokens.
    """
    seen: dict[int, Tensor] = {}

    def see(number: int, hidden: Tensor) -> None:
        if number == layer:
            seen[layer] = hidden.float()

    batches = list(token_batches(texts, tokens_per_batch))
    read = reader_for(model, max(len(text.ids) for text in texts)) if texts else None
    for chosen in progress(batches, "streaming"):
        assert read is not None
        row = pack([texts[i] for i in chosen], model.device)
        above = 0 if layer < config_of(model).num_hidden_layers else None
        read(model, row, see, stop=layer, texts_above=above)
        yield from zip(chosen, seen[layer].split(list(row.lengths)), strict=True)


def running_states(states: Tensor) -> Tensor:
    """The states of tokens [T, D], and their running mean, in the order of POSITIONS: [2, T, D]."""
    counts = torch.arange(1, len(states) + 1, device=states.device)
    return torch.stack([states, states.cumsum(0) / counts[:, None]])
