"""Texts in, representations out: the only door from torch to numpy."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from pipeline.console import progress
from pipeline.hooks import hidden_states
from pipeline.models import Encoded, Encoder, token_batches
from pipeline.params import Extraction


@torch.no_grad()
def extract(
    model: PreTrainedModel, encoder: Encoder, texts: Sequence[Encoded], params: Extraction
) -> NDArray[np.float32]:
    """The representations of texts: [layers, positions, texts, width], in the texts' order.

    Neither the batch a text falls into nor its padding changes its representation, beyond float
    rounding.
    """
    kept = np.empty(
        (len(params.layers), len(params.positions), len(texts), model.config.hidden_size),
        dtype=np.float32,
    )
    batches = list(token_batches(texts, params.tokens_per_batch))
    for chosen in progress(batches, "extracting"):
        batch = encoder.batch([texts[i] for i in chosen], model.device)
        states = hidden_states(model, batch.ids, batch.mask, params.layers)
        for row, layer in enumerate(params.layers):
            for column, position in enumerate(params.positions):
                kept[row, column, chosen] = batch.at(states[layer].float(), position).cpu().numpy()
    return kept
