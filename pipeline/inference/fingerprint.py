"""Which model this is, told by the state that it gives a few fixed tokens.

Weights may lie in any folder, be merged or not, or be another's: what a monitor was fitted on are
states, and they are what is compared.
"""

from typing import Any

import torch
from torch import Tensor

from pipeline.models.hooks import config_of, hidden_states

TOKENS = 16
EXACT, ROUNDED = 1e-3, 5e-2  # of float32 models; where one of both is of fewer bits


@torch.no_grad()
def signature_of(model: Any, layer: int) -> Tensor:
    """The state [D] of a layer after sixteen fixed tokens, float32, on the CPU."""
    vocabulary = config_of(model).vocab_size
    ids = torch.tensor([[(7 * index + 3) % vocabulary for index in range(TOKENS)]])
    device = next(iter(model.parameters())).device
    return hidden_states(model, ids.to(device), None, [layer])[layer][0, -1].float().cpu()


def is_same(found: Tensor, expected: Tensor, exact: bool) -> bool:
    """Whether two signatures are one model's: their distance, as a share of their length."""
    gap = (found - expected).norm() / expected.norm().clamp_min(1e-12)
    return bool(gap <= (EXACT if exact else ROUNDED))
