"""Does what is said of a state follow where the state is moved, and how far must it be moved?

Intervals resample prompts, the same ones for every variant, direction and size.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.core.concepts import concept_named
from pipeline.core.files import KeyPath
from pipeline.core.records import MovedInterpretation
from pipeline.evaluation.bootstrap import draw_prompts
from pipeline.evaluation.intervals import Statistic, share_of

MOVED, FOLLOWS = "moved", "follows"
DIRECTIONS = ("concept", "random")


def moved_shares(
    records: Sequence[MovedInterpretation],
    concepts: Sequence[str],
    prompts: Mapping[str, str],
    resamples: int,
    seed: int,
) -> dict[KeyPath, Statistic]:
    """Shares of moved states on resamples [1 + R], by MOVED, position, direction and size.

    `target` is the share of which the concept is named that they were moved to, `own` that of which
    their own still is. Under FOLLOWS stands, by size, how far `target` along the concept's
    direction is above the same in a random one, text by text.
    """
    texts: dict[KeyPath, list[str]] = {}
    named: dict[KeyPath, list[tuple[bool, bool]]] = {}
    for record in records:
        path: KeyPath = (MOVED, record.position, record.direction, f"by_{record.per_cent}")
        found = concept_named(record.text, concepts)
        texts.setdefault(path, []).append(prompts[record.example])
        named.setdefault(path, []).append((found == record.target, found == record.concept))
    shares: dict[KeyPath, Statistic] = {}
    for path, verdicts in named.items():
        counts = draw_prompts(texts[path], resamples, seed)
        target, own = np.array(verdicts, dtype=float).T
        shares[*path, "target"] = share_of(target, counts)
        shares[*path, "own"] = share_of(own, counts)
    along, beside = DIRECTIONS
    for moved, position, direction, size in named:
        if direction == along:
            control = shares[moved, position, beside, size, "target"]
            ahead = shares[moved, position, along, size, "target"] - control
            shares[moved, position, FOLLOWS, size] = ahead
    return shares
