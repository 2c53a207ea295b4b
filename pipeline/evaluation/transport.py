"""Why separation should generalise (Chuang et al. 2021, arXiv 2106.03314).

The k-variance of a concept is the expected cost of moving k of its texts onto k others: small where
the concept is concentrated. A classifier's margin divided by it bounds how much accuracy is lost
from training to held-out texts: the larger the one, the smaller the other, says the theory, so
their rank correlation should be negative.
"""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

for backend in ("PYTORCH", "JAX", "CUPY", "TENSORFLOW"):  # POT would import all that are installed
    os.environ.setdefault(f"POT_BACKEND_DISABLE_{backend}", "1")
import ot

from pipeline.core.random_streams import RandomStream, rng_of
from pipeline.core.representations import Labels, Vectors, centre_and_scale
from pipeline.evaluation.bootstrap import Counts, draw_prompts, draw_resamples
from pipeline.evaluation.intervals import Estimate, estimate_chance, estimate_defined, share_of
from pipeline.evaluation.linear_probe import Probe, fit_probe

EXPECTED_SIGN = -1  # of the correlation between normalised margins and gaps


def transport(
    train: tuple[Vectors, Labels],
    held_out: Mapping[str, tuple[Vectors, Labels]],
    counts: Mapping[str, Counts],
    samples: int,
    draws: int,
    seed: int,
) -> dict[str, Estimate]:
    """The k-variance, the normalised margin and the measured gaps at one layer and position.

    counts: by split, how often each resample holds each text. `k_variance` is the mean over
    concepts weighted by their texts, `k_variance_scaled` in units of the root mean square distance
    of training texts from their mean. `gap_...` is the linear probe's accuracy on training texts
    less that on held-out ones. `..._shuffled` is what permuted labels of the training texts give.
    Intervals are over resampled texts and, of the k-variance, over draws. A number that these texts
    do not define is left out.
    """
    vectors, labels = train
    _, scale = centre_and_scale(vectors)
    shuffled = rng_of(RandomStream.TRANSPORT_LABELS, seed).permutation(labels)
    seen = counts["train"]
    redrawn = draw_resamples(draws, len(seen) - 1, seed) / draws
    probe, spread = fit_probe(vectors, labels), k_variances(vectors, labels, samples, draws, seed)
    lost = k_variances(vectors, shuffled, samples, draws, seed)
    shares = np.array([(labels == concept).mean() for concept in np.unique(labels)])
    accuracy = {"train": share_of(probe.correct(vectors, labels), seen)}
    for split, texts in held_out.items():
        accuracy[split] = share_of(probe.correct(*texts), counts[split])
    return estimate_defined(
        {
            "k_variance": redrawn @ spread @ shares,
            "k_variance_scaled": redrawn @ spread @ shares / scale,
            "k_variance_scaled_shuffled": redrawn @ lost @ shares / scale,
            "kv_margin": kv_margins(probe, vectors, labels, redrawn @ spread, seen),
            "kv_margin_shuffled": kv_margins(
                fit_probe(vectors, shuffled), vectors, shuffled, redrawn @ lost, seen
            ),
            **{f"{split}_accuracy": values for split, values in accuracy.items()},
            **{
                f"gap_{split}": accuracy["train"].values - accuracy[split].values
                for split in held_out
            },
        }
    )


def k_variances(
    vectors: Vectors, labels: Labels, samples: int, draws: int, seed: int
) -> NDArray[np.float64]:
    """W1 between two samples of `samples` texts of a concept, none in both, for each draw: [draws,
    C], concepts sorted. A smaller concept is halved; one text alone costs nothing.

    The same seed draws the same texts, whatever the vectors: layers and variants differ by no luck.
    """
    rng = rng_of(RandomStream.TRANSPORT_SAMPLES, seed)
    costs = np.zeros((draws, len(np.unique(labels))))
    for column, concept in enumerate(np.unique(labels)):
        texts = np.flatnonzero(labels == concept)
        size = min(samples, len(texts) // 2)
        for draw in range(draws if size else 0):
            one, other = rng.permutation(texts)[: 2 * size].reshape(2, size)
            costs[draw, column] = wasserstein(vectors[one], vectors[other])
    return costs


def wasserstein(one: Vectors, other: Vectors) -> float:
    """Exact W1 between two samples [k, D] of equally weighted points, at Euclidean cost."""
    return float(ot.emd2([], [], cdist(one, other)))


def kv_margins(
    probe: Probe, vectors: Vectors, labels: Labels, costs: Vectors, counts: Counts
) -> Vectors:
    """median margin / sum_c w_c W1_c L_c over training texts, on resamples: [R].

    costs: [R, C], the k-variances W1_c; w_c is a concept's share of texts. It has no units: with
    the vectors' scale W1_c grows as L_c shrinks. NaN where no concept is spread out.
    """
    shares = np.array([(labels == concept).mean() for concept in probe.concepts])
    allowed = costs @ (shares * lipschitz(probe))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Vectors = medians(margins(probe, vectors, labels), counts) / allowed
    return found


def margins(probe: Probe, vectors: Vectors, labels: Labels) -> Vectors:
    """Each text's score of its own concept less the best other one: [N]; infinite without one."""
    scores, own = probe.scores(vectors), labels[:, None] == probe.concepts
    found: Vectors = scores[own] - np.where(own, -np.inf, scores).max(1)
    return found


def lipschitz(probe: Probe) -> Vectors:
    """How much the margin of a text of each concept c can change as it moves by 1: [C].

    The margin is s_c - max s_c', each difference with gradient w_c - w_c'. The steepest one counts,
    whether or not a training text has met it.
    """
    steepest: Vectors = cdist(probe.weights, probe.weights).max(1)
    return steepest


def medians(values: Vectors, counts: Counts) -> Vectors:
    """The median of values [N] on resamples [R, N]: [R]."""
    order = np.argsort(values, kind="stable")
    held = np.cumsum(counts[:, order], axis=1)
    middle = held[:, -1:] + 1  # twice the rank of the middle one, counted from 1
    lower, upper = ((held < middle // 2).sum(1), (held < (middle + 1) // 2).sum(1))
    found: Vectors = (values[order][lower] + values[order][upper]) / 2
    return found


def correlation(
    points: Sequence[tuple[str, float, float]], resamples: int, seed: int
) -> dict[str, Estimate]:
    """Spearman's rank correlation of margins with gaps, over layers and variants, and what permuted
    pairings of the same points give.

    points: the variant, the margin and the gap of each. Those that are the same count once: no
    adapter changes the embeddings. The interval resamples variants, as the layers of one are alike.
    """
    once = {point[1:]: point[0] for point in reversed(points)}
    margin, gap = np.array(sorted(once)).reshape(-1, 2).T
    counts = draw_prompts([once[point] for point in sorted(once)], resamples, seed).astype(int)
    drawn = [np.repeat(np.arange(len(gap)), row) for row in counts]
    rng = rng_of(RandomStream.TRANSPORT_GAPS, seed)
    permuted = np.array([gap, *(rng.permutation(gap) for _ in range(resamples))])
    ranked = np.array([spearman(margin[texts], gap[texts]) for texts in drawn])
    found = estimate_defined({"spearman": ranked})
    if found:
        found["spearman_shuffled"] = estimate_chance(spearman(margin, permuted))
    return found


def spearman(one: Vectors, other: Vectors) -> Vectors:
    """The correlation of ranks over the last axis, ties sharing theirs; NaN of a constant."""
    ranks = (rankdata(values, axis=-1) for values in (one, other))
    first, second = (values - values.mean(-1, keepdims=True) for values in ranks)
    with np.errstate(invalid="ignore"):
        found: Vectors = (first * second).sum(-1) / np.sqrt(
            (first**2).sum(-1) * (second**2).sum(-1)
        )
    return found
