"""Separation of one variant: at every layer and position, on every held-out split; and of every two
concepts where headline numbers are read."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from pipeline.core.files import KeyPath, Tree, branch
from pipeline.core.representations import Representations
from pipeline.core.sections import Reading
from pipeline.evaluation.against_base import metrics_tree, put_estimate, under
from pipeline.evaluation.best_probe import probe_shares
from pipeline.evaluation.bootstrap import Vector, draw_prompts
from pipeline.evaluation.intervals import Estimate, Statistic, as_tree, estimate_chance
from pipeline.evaluation.linear_probe import Probe, fit_probe
from pipeline.evaluation.separation import pairs_of_concepts, separation


@dataclass
class LayerSeparation:
    """Statistics on resamples and under permuted concepts, by layer_<l>, position, split and name;
    shares that probes read right by `probes`, probe and split; distances by split and by both
    concepts of a pair."""

    resampled: dict[KeyPath, Statistic] = field(default_factory=dict)
    chance: dict[KeyPath, Vector] = field(default_factory=dict)
    pairs: dict[KeyPath, dict[str, Estimate]] = field(default_factory=dict)


def separation_by_layer(
    stored: Representations,
    prompts: Mapping[str, str],
    reading: Reading,
    seed: int,
    prompts_alone: Collection[str] = (),
) -> LayerSeparation:
    """prompts: of every text, by its id; resamples are drawn by prompt. prompts_alone: splits that
    are left out, as not every layer and position that is read here is of the same thing in them."""
    scored = [split for split in stored.scored() if split not in prompts_alone]
    counts = {
        split: draw_prompts([prompts[id] for id in stored.ids_of(split)], reading.resamples, seed)
        for split in scored
    }
    found, probes = LayerSeparation(), dict[tuple[int, str], Probe]()
    for layer, position in product(stored.layers, stored.positions):
        train = stored.at(layer, position, "train")
        probe = probes[layer, position] = fit_probe(*train)
        for split in stored.held_out():
            texts, held = stored.at(layer, position, split), counts[split]
            measured = separation(train, texts, probe, reading.neighbours, held, seed)
            path = (f"layer_{layer}", position, split)
            found.resampled |= under(path, measured.resampled)
            found.chance |= {(*path, name): values for name, values in measured.chance.items()}
            if (layer, position) == (reading.layer, reading.position):
                pairs = pairs_of_concepts(train[0], texts, held)
                found.pairs |= {(split, *pair): distances for pair, distances in pairs.items()}
    shares = probe_shares(stored, probes, reading, counts)
    found.resampled |= {("probes", *path): share for path, share in shares.items()}
    return found


def separation_metrics(
    found: LayerSeparation, base: LayerSeparation | None, reading: Reading
) -> Tree:
    """Everything with its interval; differences from the untouched model where headline numbers are
    read, and of probes. Of these, `frozen` is the untouched model's best one, and `above_frozen`
    how far the one that is read lies above it.

    `..._shuffled` is what permuted concepts give: the mean, and the range of 95 % of the
    permutations. A number that these texts do not define, such as a cosine between concepts where
    there is one, is left out."""
    headline = (f"layer_{reading.layer}", reading.position)
    tree = metrics_tree(
        found.resampled,
        base.resampled if base else None,
        has_difference=lambda path: path[:2] == headline or path[0] == "probes",
    )
    for path, best in (base or found).resampled.items():
        if path[:2] == ("probes", "best"):
            put_estimate(tree, ("probes", "frozen", path[2]), best)
            above = found.resampled["probes", "read", path[2]] - best
            branch(tree, ("probes", "above_frozen"))[path[2]] = above.as_change()
    for path, values in found.chance.items():
        if np.isfinite(values[0]):
            branch(tree, path[:-1])[f"{path[-1]}_shuffled"] = estimate_chance(values).as_tree()
    for path, distances in found.pairs.items():
        branch(tree, ("pairs", *path)).update(as_tree(distances))
    return tree
