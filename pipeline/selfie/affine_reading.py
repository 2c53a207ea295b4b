"""Reading through a trained scale and bias, and what such reading is held against."""

from functools import partial

import torch

from pipeline.core.records import AFFINE
from pipeline.selfie.affine_map import AffineMap
from pipeline.selfie.controls import control_vectors
from pipeline.selfie.crossings import Adapter


def affine_adapters(taught: AffineMap, shuffled: AffineMap, seed: int) -> dict[str, Adapter]:
    """What is injected instead of states, by AFFINE and AFFINE_CONTROLS: the states through a map
    that was taught; its bias alone, which is the same for all; another text's state through it;
    and the states through a map that was taught shuffled labels."""
    generator = torch.Generator().manual_seed(seed)
    other = partial(control_vectors, control="other", generator=generator)
    return {
        AFFINE: taught,
        f"{AFFINE}_bias": lambda states: taught(torch.zeros_like(states)),
        f"{AFFINE}_other": lambda states: taught(other(states)),
        f"{AFFINE}_shuffled": shuffled,
    }
