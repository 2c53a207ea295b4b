"""Whether a model is the one that a monitor was fitted on, by its state after a few fixed tokens.

States are compared, not weights or folders: an adapter that is merged into its base, or stored
elsewhere, is still the same model.
"""

from typing import Any

import torch
from torch import Tensor

from pipeline.models.hooks import config_of, hidden_states

SIGNATURE_TOKENS = 16
# The largest relative distance between signatures of one model: where both are float32, and else.
EXACT, ROUNDED = 1e-3, 5e-2


@torch.no_grad()
def signature_of(model: Any, layer: int) -> Tensor:
    """The state [D] of a layer at the last of sixteen fixed tokens, in float32, on the CPU."""
    vocabulary = config_of(model).vocab_size
    ids = torch.tensor([[(7 * index + 3) % vocabulary for index in range(SIGNATURE_TOKENS)]])
    device = next(iter(model.parameters())).device
    return hidden_states(model, ids.to(device), None, [layer])[layer][0, -1].float().cpu()


def is_same_model(found: Tensor, expected: Tensor, exact: bool) -> bool:
    """Whether two signatures [D] are one model's, by their distance relative to the expected one's
    norm. exact: both models are float32."""
    gap = (found - expected).norm() / expected.norm().clamp_min(1e-12)
    return bool(gap <= (EXACT if exact else ROUNDED))
