"""How well a concept can be read out of a variant's states: the best of its linear probes.

A finetune that moves states apart at one layer shows nothing a probe of the untouched model could
not have read elsewhere. So the candidates are every layer and position, and all layers of a
position side by side; the one that reads validation texts best is scored on all others.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np

from pipeline.core.representations import Labels, Representations, Vectors
from pipeline.core.sections import Reading
from pipeline.evaluation.bootstrap import Counts
from pipeline.evaluation.intervals import Proportion, share_of
from pipeline.evaluation.linear_probe import Probe, fit_probe

Probes = Mapping[tuple[int, str], Probe]  # by layer and position, fitted on training texts


def probe_shares(
    stored: Representations, probes: Probes, reading: Reading, counts: Mapping[str, Counts]
) -> dict[tuple[str, str], Proportion]:
    """The share of texts whose concept is read right: by `read`, the probe at the layer and
    position that are read, and by `best`, the one chosen on validation texts; of every split.

    counts: by split, how often each resample holds each text. Of equally good probes, and without
    validation texts, it is the one that is read. A text of a concept that training never showed is
    not asked.
    """
    read: tuple[int, str] = (reading.layer, reading.position)
    candidates = {read: (probes[read], partial(stored.at, *read))}
    candidates |= {at: (probe, partial(stored.at, *at)) for at, probe in probes.items()}
    for position in stored.positions:
        side_by_side = partial(every_layer, stored, position)
        candidates[-1, position] = (fit_probe(*side_by_side("train")), side_by_side)

    def right(at: tuple[int, str], split: str) -> Vectors:
        probe, texts = candidates[at]
        return probe.correct(*texts(split))

    best = read
    if "validation" in stored.splits:
        best = max(candidates, key=lambda at: right(at, "validation").mean())
    shares = {}
    for split, drawn in counts.items():
        asked = np.isin(stored.at(*read, split)[1], probes[read].concepts)
        if asked.any():
            for name, at in (("read", read), ("best", best)):
                shares[name, split] = share_of(right(at, split)[asked], drawn[:, asked])
    return shares


def every_layer(stored: Representations, position: str, split: str) -> tuple[Vectors, Labels]:
    """The vectors of all layers side by side [N, layers x D], and the concepts [N]."""
    layers = [stored.at(layer, position, split) for layer in stored.layers]
    return np.hstack([vectors for vectors, _ in layers]), layers[0][1]
