"""How often 95 % intervals hold the true value, by simulation.

Samples are drawn from made-up populations, as large as the default run's splits; from each, every
number and its interval are made as the stages make them. The true value is the mean over all
samples. `covers` is the share of samples whose interval holds it, `width` an interval's mean width.

    python -m benchmarks.coverage    # minutes; writes benchmarks/results/coverage.json
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import norm

from pipeline.core.files import write_json
from pipeline.core.representations import Labels, Vectors
from pipeline.evaluation.bootstrap import Counts, draw_resamples, resampled_mean
from pipeline.evaluation.intervals import Statistic, share_of, statistic
from pipeline.evaluation.linear_probe import fit_probe
from pipeline.evaluation.separation import separation
from pipeline.monitors.metrics import concept_measures, harm_measures
from pipeline.monitors.thresholds import Thresholds

NOMINAL, ENOUGH = 0.95, 0.93  # an interval that holds the true value less often does not cover
RESAMPLES = 500
HALF = Thresholds(0.5, {"5_percent": 0.8})  # as validation texts may have set them
RESULT = Path("benchmarks/results/coverage.json")
Rng = np.random.Generator
Sample = Callable[[Rng], Mapping[str, Statistic]]
Coverage = dict[str, dict[str, float]]


def coverage(sample: Sample, samples: int, seed: int = 0) -> Coverage:
    """By number: its true value, how often intervals hold it, their mean width; and for a number
    whose true value is 0, such as the difference of two alike models, how often p is below .05."""
    rng = np.random.default_rng(seed)
    drawn = [sample(rng) for _ in range(samples)]
    found: Coverage = {}
    for name in drawn[0]:
        numbers = [one[name] for one in drawn if one[name].is_defined]
        if not numbers or np.isnan(numbers[0].estimate().low):
            continue
        estimates = [number.estimate() for number in numbers]
        true = float(np.mean([estimate.value for estimate in estimates]))
        held = [estimate.low <= true <= estimate.high for estimate in estimates]
        width = np.mean([estimate.high - estimate.low for estimate in estimates])
        found[name] = {"true": true, "covers": float(np.mean(held)), "width": float(width)}
        if name.startswith("equal"):
            found[name]["alarms"] = float(np.mean([number.p_value() < 0.05 for number in numbers]))
    return found


class Concepts:
    """Gaussian concepts in states of a falling spectrum, whose means have the same spectrum."""

    def __init__(self, concepts: int, width: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.spread = np.arange(1, width + 1) ** -1.0
        self.means = rng.normal(size=(concepts, width)) * self.spread
        self.names = np.array([f"concept {number}" for number in range(concepts)])

    def texts(self, rng: Rng, per: int) -> tuple[Vectors, Labels]:
        """What texts have beside their concepts' means, and their concepts."""
        labels = np.repeat(self.names, per)
        noise: Vectors = rng.normal(size=(len(labels), len(self.spread))) * self.spread
        return noise, labels

    def at(self, gap: float, noise: Vectors, labels: Labels) -> Vectors:
        """States whose concepts' means are so far from each other."""
        states: Vectors = noise + gap * self.means[np.searchsorted(self.names, labels)]
        return states


def of_separation(
    gaps: Sequence[float],
    concepts: int = 6,
    per: int = 40,
    width: int = 128,
    resamples: int = RESAMPLES,
) -> Sample:
    """Every number of separation on held-out texts; of two gaps, their paired differences."""
    world = Concepts(concepts, width)
    noise, known = world.texts(np.random.default_rng(1), 4 * per)
    trains = [(world.at(gap, noise, known), known) for gap in gaps]
    probes = [fit_probe(*train) for train in trains]
    counts = draw_resamples(concepts * per, resamples, 0)

    def sample(rng: Rng) -> Mapping[str, Statistic]:
        noise, labels = world.texts(rng, per)
        first, *other = (
            {name: statistic(values) for name, values in measured.resampled.items()}
            for gap, train, probe in zip(gaps, trains, probes, strict=True)
            for measured in [
                separation(train, (world.at(gap, noise, labels), labels), probe, 9, counts, 0)
            ]
        )
        return {name: other[0][name] - first[name] for name in first} if other else first

    return sample


def of_harm(area: float, harmful: int = 200, safe: int = 40, resamples: int = RESAMPLES) -> Sample:
    """A monitor's measures where harmful and safe texts' scores are normal; beside them, as
    `equal_auroc`, the difference of two monitors that are alike and err apart."""
    gap = float(np.sqrt(2) * norm.ppf(area))
    truth = np.repeat([True, False], [harmful, safe])
    counts = draw_resamples(len(truth), resamples, 0)

    def sample(rng: Rng) -> Mapping[str, Statistic]:
        shared = rng.normal(size=len(truth)) + gap * truth
        one, other = (norm.cdf(shared + 0.3 * rng.normal(size=len(truth)) - gap / 2)
                      for _ in range(2))  # fmt: skip
        found = harm_measures(one, truth, HALF, counts)
        equal = found["auroc"] - harm_measures(other, truth, HALF, counts)["auroc"]
        return {**found, "equal_auroc": equal}

    return sample


def of_concepts(gap: float, concepts: int = 6, per: int = 40, resamples: int = RESAMPLES) -> Sample:
    """A monitor's measures of concepts."""
    names = np.array([f"concept {number}" for number in range(concepts)])
    labels = np.repeat(names, per)
    counts = draw_resamples(len(labels), resamples, 0)

    def sample(rng: Rng) -> Mapping[str, Statistic]:
        scores = gap * (labels[:, None] == names) + rng.normal(size=(len(labels), concepts))
        odds = np.exp(gap * (scores - scores.max(1, keepdims=True)))
        return concept_measures(odds / odds.sum(1, keepdims=True), names, labels, counts)

    return sample


def of_shares(
    share: float, texts: int = 240, answers: int = 2, resamples: int = RESAMPLES
) -> Sample:
    """Shares of texts, and of several answers to each; as `equal_share`, of two models that both
    have it and differ in a tenth of the texts or as many as can be."""
    counts = draw_resamples(texts, resamples, 0)
    apart = min(0.05, share / 2, (1 - share) / 2)  # the texts that only one of the two has right

    def sample(rng: Rng) -> Mapping[str, Statistic]:
        drawn = rng.random(texts)
        one, other = drawn < share, (drawn < share - apart) | (drawn > 1 - apart)
        told = rng.binomial(answers, rng.beta(share, 1 - share, size=texts)) / answers
        return {
            "share": share_of(one.astype(float), counts),
            "share_of_answers": share_of(told, counts),
            "equal_share": share_of(other.astype(float), counts) - share_of(one * 1.0, counts),
        }

    return sample


def of_likelihoods(documents: int = 300) -> Sample:
    """Perplexity, and a divergence that is small for most documents and large for a few."""
    counts: Counts = draw_resamples(documents, RESAMPLES, 0)

    def sample(rng: Rng) -> Mapping[str, Statistic]:
        tokens = rng.integers(10, 60, size=documents)
        nll = tokens * rng.gamma(8, 0.08, size=documents)
        kl = rng.gamma(0.5, 0.01, size=documents)
        return {
            "perplexity": Statistic(np.exp(counts @ nll / (counts @ tokens))),
            "kl": Statistic(resampled_mean(kl, counts)),
        }

    return sample


POPULATIONS: dict[str, Sample] = {
    "states hardly apart": of_separation([0.6]),
    "states apart": of_separation([1.4]),
    "states apart minus hardly apart": of_separation([0.6, 1.4]),
    **{f"harm, area {area}": of_harm(area) for area in (0.75, 0.95, 0.98, 0.995)},
    "harm, area 0.98, 240 texts of a kind": of_harm(0.98, 240, 240),
    **{
        f"harm, area {area}, 1000 safe texts": of_harm(area, 200, 1000)
        for area in (0.9, 0.98, 0.995)
    },
    **{f"concepts, gap {gap}": of_concepts(gap) for gap in (1.0, 2.0, 3.0)},
    **{f"share {share}": of_shares(share) for share in (0.3, 0.9, 0.98, 0.995)},
    "documents": of_likelihoods(),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, default=RESULT)
    options.add_argument("--samples", type=int, default=400)
    given = options.parse_args()
    report = {}
    for name, sample in POPULATIONS.items():
        report[name] = coverage(sample, given.samples)
        print(name, {number: found["covers"] for number, found in report[name].items()}, flush=True)
    found = {
        "samples": given.samples,
        "marked": marked(report, given.samples),
        "populations": report,
    }
    write_json(given.out, found)


def marked(report: Mapping[str, Coverage], samples: int) -> list[str]:
    """The numbers whose intervals hold the true value less often than ENOUGH in a population, by
    more than a standard error of the simulation."""
    least = ENOUGH - float(np.sqrt(ENOUGH * (1 - ENOUGH) / samples))
    low = (n for found in report.values() for n, own in found.items() if own["covers"] < least)
    return sorted(set(low))


if __name__ == "__main__":
    main()
