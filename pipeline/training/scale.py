"""States of a finetune standardised by what the frozen model makes of its texts.

In a pretrained model a few numbers of a state can be many times as large as all others, and alike
in every text. They decide each cosine then, and leave a contrast little to change
(arXiv 2109.04404, which standardises too).
"""

from dataclasses import replace

import torch
from torch import Tensor

from pipeline.core.records import Example, evenly_spaced
from pipeline.models.fused_lora import switched_off
from pipeline.training.finetune_data import FinetuneData
from pipeline.training.objective import Objective
from pipeline.training.step import Scale

MOST_SCALED = 512  # texts whose states tell what is large in a state
SAME = 1e-6  # of a number's size: one that differs by no more between texts does not differ


@torch.no_grad()
def standardise(objective: Objective, data: FinetuneData, at_once: int) -> None:
    """From now on, contrasts are of states standardised over texts of the pairs: at most
    MOST_SCALED, evenly spaced, the same on every rank. at_once: texts that are read together.

    Raises InputError for a text of which the frozen model makes no finite numbers.
    """
    chosen = evenly_spaced(texts_of_pairs(data), MOST_SCALED)
    texts = objective.finetuned.encoder.texts([(e.prompt, e.response) for e in chosen])
    with switched_off(objective.adapted):
        starts = range(0, len(texts), at_once)
        states = torch.cat([objective.targets_of(texts[i : i + at_once]) for i in starts])
    if not torch.isfinite(states).all():
        objective.check_frozen(chosen)
    objective.finetuned = replace(objective.finetuned, scale=scale_of(states))


def texts_of_pairs(data: FinetuneData) -> list[Example]:
    """The texts that pairs were drawn from, in the corpus' order."""
    paired = {name for pair in data.pairs for name in (pair.first, pair.second)}
    return [example for name, example in data.examples.items() if name in paired]


def scale_of(states: Tensor) -> Scale:
    """Of states [N, P, D]."""
    deviation = states.std(0, correction=0)
    differs = deviation > SAME * states.abs().amax(0)
    return Scale(states.mean(0), deviation.where(differs, 1.0))
