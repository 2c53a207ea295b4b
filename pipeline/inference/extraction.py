"""The representations of texts, from torch tensors to a file of numpy values."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.console import progress
from pipeline.core.representations import RepresentationsFile
from pipeline.core.sections import Extraction
from pipeline.models import distributed
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoded, Encoder, token_batches
from pipeline.models.hooks import config_of
from pipeline.models.packing import ReadRow, pack
from pipeline.models.reader_check import reader_for


def extract(
    model: PreTrainedModel,
    encoder: Encoder,
    texts: Sequence[Encoded],
    params: Extraction,
    file: RepresentationsFile,
    checkpoint: Checkpoint,
) -> None:
    """Write the representations of all texts, in their order, into a file made for as many.

    Each batch is written as soon as it is computed, so that memory does not grow with the number of
    texts. Every rank computes a part of the batches, and the first one writes them all. A run that
    was killed goes on from its checkpoint.
    """
    batches = distributed.deal(list(token_batches(texts, params.tokens_per_batch)))
    kept = checkpoint.load()
    done = int(kept[1]["done"]) if kept and distributed.from_first(file.is_there()) else 0
    if done == 0 and distributed.is_first():
        file.make()
    read = reader_for(model, encoder.longest)
    for number, chosen in enumerate(progress(batches[done:], "extracting"), done + 1):
        own = [texts[i] for i in chosen or ()]
        found = (chosen, read_batch(model, read, own, params)) if chosen else None
        for part in distributed.at_first(found):
            if part:
                file.put(*part)
        if checkpoint.is_due(number):
            checkpoint.save({}, {"done": number})


@torch.no_grad()
def read_batch(
    model: PreTrainedModel, read: ReadRow, texts: Sequence[Encoded], params: Extraction
) -> NDArray[np.float32]:
    """The representations of a few texts: [layers, positions, texts, width].

    Blocks above the highest layer do not run. What else is in the batch does not change a text's
    representation, beyond float rounding.
    """
    row = pack(texts, model.device)
    values: dict[int, Tensor] = {}

    def see(layer: int, hidden: Tensor) -> None:
        if layer in params.layers:
            read_at = [row.at(hidden, position).float() for position in params.positions]
            values[layer] = torch.stack(read_at)

    top = max(params.layers)
    above = 0 if top < config_of(model).num_hidden_layers else None
    ends = torch.cat([row.prompt_end, row.last]).unique()
    needed = None if "mean" in params.positions else ends
    read(model, row, see, stop=top, texts_above=above, needed=needed)
    found: NDArray[np.float32] = (
        torch.stack([values[layer] for layer in params.layers]).cpu().numpy()
    )
    return found
