"""How far apart texts of two concepts lie: means over pairs of texts, and the Hausdorff distance.

All are of vectors centred by the mean of the training texts. Centring changes no length of a
difference, and frees cosines and correlations of the one large direction that all texts share.
"""

from collections.abc import Mapping

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.preprocessing import normalize

from pipeline.core.representations import Labels, Vectors
from pipeline.evaluation.bootstrap import Counts, linearised

LENGTHS = ("l1", "l2", "hausdorff")  # in units of the vectors; the others have none
FARTHEST = ("hausdorff", "hausdorff_scaled")  # of one text: the others are means over pairs


def concept_distances(
    centred: Vectors, labels: Labels, scale: float, counts: Counts
) -> dict[str, Vectors]:
    """Distances between every two concepts, within each on the diagonal, on resamples [R, N] of
    texts [N, D]: [R, C, C] each, concepts sorted; NaN where there is no pair of texts.

    `angle` is the arc cosine of the mean cosine, in degrees; `pearson` the mean correlation over
    the width. `..._scaled` are in units of `scale`, the root mean square length of the centred
    training texts: they are the same whatever the norm. The Hausdorff distance is of the texts as
    they are, [1, C, C]: one text may decide it, and neither the bootstrap nor a jackknife gives an
    interval that covers.
    """
    unit = normalize(centred)
    pairwise = {
        "cosine": unit @ unit.T,
        "pearson": pearson_correlations(centred),
        "l1": cdist(centred, centred, "cityblock"),
        "l2": cdist(centred, centred),
    }
    found = {name: pair_means(of_pairs, labels, counts) for name, of_pairs in pairwise.items()}
    found["angle"] = angles(found["cosine"])
    found["hausdorff"] = hausdorff(pairwise["l2"], labels)[None]
    return found | {f"{name}_scaled": found[name] / scale for name in LENGTHS}


def between(distances: Mapping[str, Vectors]) -> dict[str, Vectors]:
    """The mean over pairs of different concepts, by name: [R]; NaN where there is one concept."""
    rows, columns = np.triu_indices(distances["cosine"].shape[1], k=1)
    undefined = np.full(len(distances["cosine"]), np.nan)
    return {
        name: values[:, rows, columns].mean(1) if len(rows) else undefined
        for name, values in distances.items()
    }


def pearson_correlations(vectors: Vectors) -> Vectors:
    """Pearson's correlation of every two texts over the width: [N, N]; 0 with a constant vector."""
    level = normalize(vectors - vectors.mean(1, keepdims=True))
    found: Vectors = level @ level.T
    return found


def angles(cosines: Vectors) -> Vectors:
    """In degrees, in [0, 180]."""
    found: Vectors = np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))
    return found


def pair_means(of_pairs: Vectors, labels: Labels, counts: Counts) -> Vectors:
    """Means of a symmetric value of texts [N, N] over pairs of distinct texts, one of each concept:
    [R, C, C], on resamples to first order."""
    return ratios(
        pair_sum_influence(of_pairs, labels),
        pair_sum_influence(np.ones_like(of_pairs), labels),
        counts,
    )


def pair_sum_influence(of_pairs: Vectors, labels: Labels) -> Vectors:
    """The derivative, by how often each text is held, of the sum over pairs of distinct texts, one
    of each concept: [N, C, C]. The sum itself is half of their total, as each pair has two texts.
    """
    member = (labels[:, None] == np.unique(labels)).astype(np.float64)
    towards = of_pairs @ member - np.diag(of_pairs)[:, None] * member
    from_own: Vectors = member[:, :, None] * towards[:, None, :]
    return from_own + from_own.swapaxes(1, 2)


def ratios(of_sums: Vectors, of_numbers: Vectors, counts: Counts) -> Vectors:
    """Sums over pairs by their numbers, from the derivatives [N, ...] of both: [R, ...], on
    resamples to first order. NaN where there is no pair."""
    numbers = of_numbers.sum(0) / 2
    with np.errstate(invalid="ignore"):
        means = of_sums.sum(0) / 2 / numbers
        influence = (of_sums - means * of_numbers) / numbers
    return linearised(means, influence, counts)


def hausdorff(lengths: Vectors, labels: Labels) -> Vectors:
    """The Hausdorff distance of every two concepts from the lengths [N, N] between texts: the
    farthest that a text of either lies from its nearest one of the other. [C, C]"""
    order = np.argsort(labels, kind="stable")
    starts = np.unique(labels[order], return_index=True)[1]
    nearest = np.minimum.reduceat(lengths[np.ix_(order, order)], starts, axis=1)
    farthest = np.maximum.reduceat(nearest, starts, axis=0)
    found: Vectors = np.maximum(farthest, farthest.T)
    return found
