"""Which text, and which layer of it, a model makes no finite numbers of."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor

from pipeline.core.finite import not_finite
from pipeline.models.encoding import Encoded
from pipeline.models.packing import ReadRow, pack


@torch.no_grad()
def check_texts(read: ReadRow, model: Any, texts: Mapping[str, Encoded]) -> None:
    """Read texts one by one. Raises InputError that names the first with states that are not
    finite, and their lowest layer; returns where there are none."""
    for name, text in texts.items():
        damaged: list[int] = []

        def see(layer: int, hidden: Tensor, damaged: list[int] = damaged) -> None:
            if not torch.isfinite(hidden).all():
                damaged.append(layer)

        read(model, pack([text], model.device), see)
        if damaged:
            raise not_finite(name, f"its states at layer {min(damaged)}")


class FiniteLogits(LogitsProcessor):
    """Stops a generation at logits that no token can be drawn from, and names the row. A token may
    be ruled out, by -inf; nothing else is not finite."""

    def __init__(self, names: list[str], samples: int = 1):
        """names: of prompts, each of which has `samples` rows one after the other."""
        self.names, self.samples = names, samples

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        damaged = ~(scores < torch.inf).all(-1)
        if damaged.any():
            name = self.names[int(damaged.long().argmax()) // self.samples]
            raise not_finite(name, "the logits of its answer")
        return scores
