"""Whether a model is the one that a monitor was fitted on, by its state after a few fixed tokens.

States are compared, not weights or folders: an adapter that is merged into its base, or stored
elsewhere, is still the same model.
"""

from typing import Any

import torch
from torch import Tensor

from pipeline.core.console import InputError
from pipeline.models.hooks import config_of, decoder_blocks, hidden_states
from pipeline.monitors.saved import SavedMonitor

SIGNATURE_TOKENS = 16
# The largest relative distance between signatures of one model: where both are float32, and else.
EXACT, ROUNDED = 1e-3, 5e-2


def signature_ids(vocabulary: int) -> list[int]:
    """The fixed tokens, of a vocabulary of so many."""
    return [(7 * index + 3) % vocabulary for index in range(SIGNATURE_TOKENS)]


@torch.no_grad()
def signature_of(model: Any, layer: int) -> Tensor:
    """The state [D] of a layer at the last of sixteen fixed tokens, in float32, on the CPU."""
    ids = torch.tensor([signature_ids(config_of(model).vocab_size)])
    device = next(iter(model.parameters())).device
    return hidden_states(model, ids.to(device), None, [layer])[layer][0, -1].float().cpu()


def is_same_model(found: Tensor, expected: Tensor, exact: bool) -> bool:
    """Whether two signatures [D] are one model's, by their distance relative to the expected one's
    norm. exact: both models are float32."""
    gap = (found - expected).norm() / expected.norm().clamp_min(1e-12)
    return bool(gap <= (EXACT if exact else ROUNDED))


def check_model(model: Any, monitor: SavedMonitor) -> None:
    """Raises InputError for a model that the monitor was not fitted on: one of another width, with
    too few layers, or with another signature."""
    width, layers = config_of(model).hidden_size, len(decoder_blocks(model))
    if len(monitor.centre) != width:
        raise InputError(
            f"the monitor reads states of width {len(monitor.centre)} and the model's have "
            f"{width}; use the model that it was fitted on"
        )
    if not 0 <= monitor.layer <= layers:
        raise InputError(
            f"the monitor reads layer {monitor.layer} and the model has layers 0 to {layers}; use "
            "the model that it was fitted on"
        )
    exact = model.dtype == torch.float32 and monitor.base.get("dtype") == "float32"
    if not is_same_model(
        signature_of(model, monitor.layer), torch.from_numpy(monitor.signature), exact
    ):
        fitted_on = monitor.base.get("origin") or "the base model trained here"
        raise InputError(
            f"this is another model than the monitor's, which is {fitted_on} finetuned as "
            f"{monitor.variant}; use that one, or fit a monitor on this one"
        )
