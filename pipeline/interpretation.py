"""Does the model's own description of a hidden state name its concept, and more than a guess?"""

from collections.abc import Sequence

import numpy as np

from pipeline.intervals import Estimate, draw_resamples, estimate_mean
from pipeline.records import Interpretation


def accuracies(
    interpretations: Sequence[Interpretation],
    named: Sequence[bool],
    resamples: int,
    seed: int,
) -> dict[str, dict[str, dict[str, Estimate]]]:
    """The share of interpretations that name their concept: split -> position -> control.

    named: the judge's verdict of each interpretation. `state` is the interpretation itself, every
    other key a control: what the question, a random vector or another state gives away.
    """
    groups: dict[tuple[str, str, str], list[float]] = {}
    for record, right in zip(interpretations, named, strict=True):
        group = groups.setdefault((record.split, record.position, record.control), [])
        group.append(float(right))
    tree: dict[str, dict[str, dict[str, Estimate]]] = {}
    for (split, position, control), rights in groups.items():
        estimate = estimate_mean(np.array(rights), draw_resamples(len(rights), resamples, seed))
        tree.setdefault(split, {}).setdefault(position, {})[control] = estimate
    return tree
