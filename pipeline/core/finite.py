"""What is no number, or infinite, is refused where it is made: by text and layer, never written."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.core.console import InputError

CAUSE = (
    "the model's weights are damaged, or its numbers overflow; adopt the model anew, or lower "
    "text.prompt_tokens and text.response_tokens"
)


def not_finite(text: str, what: str) -> InputError:
    """The error for a text of which something (`its states at layer 3`) is no finite number."""
    return InputError(f"{text}: {what} are not finite; {CAUSE}")


def check_states(
    values: NDArray[np.floating], layers: Sequence[int], texts: Sequence[str], where: str = ""
) -> None:
    """values: [layers, ..., texts, width]. Raises InputError that names the first text that has a
    state that is not finite, and the lowest layer of it. where: how the message begins."""
    if np.isfinite(values).all():
        return
    damaged = ~np.isfinite(values).all(-1)  # [layers, ..., texts]
    by_text = damaged.any(tuple(range(1, damaged.ndim - 1)))
    text = int(by_text.any(0).argmax())
    lowest = min(layer for layer, own in zip(layers, by_text[:, text], strict=True) if own)
    raise not_finite(f"{where}text {texts[text]}", f"its states at layer {lowest}")
