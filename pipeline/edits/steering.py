"""A steering vector: a difference of means, added to the hidden states of one layer at every token.

Beside an edit it is given the strength at which it has the edit's effect (equal_strength), so that
what else both change can be compared. The vector leads from one kind of texts to another (arXiv
2312.06681), and goes to all tokens (arXiv 2406.11717).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from pipeline.core.edit_observations import Match
from pipeline.models.hooks import decoder_blocks


@contextmanager
def steered(model: Any, layer: int, vector: Tensor) -> Iterator[None]:
    """Within, the vector [D] is added to hidden_states[layer] at every token. The layer is at least
    1, and below the model's last."""

    def add(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (args[0] + vector.to(args[0]), *args[1:]), kwargs
        hidden = kwargs["hidden_states"]
        return args, kwargs | {"hidden_states": hidden + vector.to(hidden)}

    handle = decoder_blocks(model)[layer].register_forward_pre_hook(add, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def equal_strength(
    effect_of: Callable[[float], float], target: float, strengths: Sequence[float], halvings: int
) -> Match:
    """The strength whose effect comes nearest to the target.

    strengths: tried from the first on, until the effect is at least the target, on its side of 0.
    The strengths between that one and the one before are then halved so many times. An effect need
    not grow with the strength: of several that reach the target, this finds one near the first.
    Where none reaches it, the strength of the greatest effect is chosen. A target of 0 is that of
    the strength 0.
    """
    if target == 0:
        return Match(0.0, 0.0, 0.0, is_reached=True)
    side = 1 if target > 0 else -1
    tried = {0.0: 0.0}
    below = 0.0

    def reaches(strength: float) -> bool:
        tried[strength] = effect_of(strength)
        return side * tried[strength] >= side * target

    above = None
    for strength in strengths:
        if reaches(strength):
            above = strength
            break
        below = strength
    if above is None:
        best = max(tried, key=lambda strength: side * tried[strength])
        return Match(best, tried[best], target, is_reached=False)
    for _ in range(halvings):
        middle = (below + above) / 2
        below, above = (below, middle) if reaches(middle) else (middle, above)
    best = min(tried, key=lambda strength: abs(tried[strength] - target))
    return Match(best, tried[best], target, is_reached=True)
