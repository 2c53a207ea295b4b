"""How far can the confidence of an interpretation be trusted?

Two probabilities stand for it: the likelihood of what was said, token by token, and that of the
likeliest concept's name among all concepts' names. A confidence is calibrated where of all
readings of which it is 0.8 about 80 % are right, and useful where the surest readings are right
more often than the others.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from pipeline.core.concepts import names_concept
from pipeline.core.files import KeyPath
from pipeline.core.records import AFFINE, ClosedReading, Interpretation
from pipeline.core.representations import Flags, Vectors
from pipeline.evaluation.bootstrap import Counts, draw_prompts, prompts_in
from pipeline.evaluation.calibration import calibration_error, reliability
from pipeline.evaluation.intervals import Proportion, Statistic, share_of

CONFIDENCE, SAID, CLOSED = "confidence", "said", "closed"
CONFIDENT_READERS = ("state", AFFINE, "reader_only")  # whose confidence is measured
COVERAGES = (25, 50, 75)  # per cent of the texts, the surest ones
GAINS = tuple(f"gain_at_{share}" for share in COVERAGES)  # above the accuracy of all texts

# A confidence in [0, 1] and whether it was right, of every text's prompt, by split, position, how
# the state was read, and which of the two probabilities it is.
Answers = dict[KeyPath, list[tuple[str, float, bool]]]


def confident_answers(
    interpretations: Sequence[Interpretation],
    closed: Sequence[ClosedReading],
    layers: Collection[int],
    concepts: Sequence[str],
    prompts: Mapping[str, str],
) -> Answers:
    """What is said of states of the asked layers, and what is likeliest among concepts' names.

    concepts: sorted, as the scores of `closed` are. prompts: of every example.
    """
    found: Answers = {}
    for said in interpretations:
        if (
            said.layer in layers
            and said.control in CONFIDENT_READERS
            and said.likelihood is not None
        ):
            path = (said.split, said.position, said.control, SAID)
            right = names_concept(said, concepts)
            found.setdefault(path, []).append((prompts[said.example], said.likelihood, right))
    for read in closed:
        scores = np.array(read.scores)
        probabilities = np.exp(scores - scores.max())
        sure = float(probabilities.max() / probabilities.sum())
        right = concepts[int(scores.argmax())] == read.concept
        path = (read.split, read.position, read.control, CLOSED)
        found.setdefault(path, []).append((prompts[read.example], sure, right))
    return found


def confidence_shares(answers: Answers, resamples: int, seed: int) -> dict[KeyPath, Statistic]:
    """Under CONFIDENCE, the accuracy, the mean confidence, the calibration error, the accuracy at
    every one of COVERAGES, and how far that is above the accuracy of all; on resamples [1 + R] of
    prompts."""
    return {
        (CONFIDENCE, *path, name): found
        for path, own in answers.items()
        for name, found in confidence_measures(*_drawn(own, resamples, seed)).items()
    }


def reliability_rows(answers: Answers, resamples: int, seed: int) -> Iterator[dict[str, object]]:
    """How often readings are right where they are so sure, bin by bin (`reliability`)."""
    for (split, position, control, kind), own in answers.items():
        of = {"split": split, "position": position, "reader": control, "answer": kind}
        for row in reliability(*_drawn(own, resamples, seed)):
            yield {**of, **row}


def confidence_measures(confidence: Vectors, right: Flags, counts: Counts) -> dict[str, Statistic]:
    """confidence, right: [N]; counts: [1 + R, N]. The calibration error is that of BINS bins."""
    of_all = share_of(right.astype(float), counts)
    surest = [accuracy_at(share / 100, confidence, right, counts) for share in COVERAGES]
    return {
        "accuracy": of_all,
        "mean": share_of(confidence, counts),
        "calibration_error": Statistic(calibration_error(confidence, right, counts)),
        **{f"accuracy_at_{share}": own for share, own in zip(COVERAGES, surest, strict=True)},
        **{gain: own - of_all for gain, own in zip(GAINS, surest, strict=True)},
    }


def accuracy_at(coverage: float, confidence: Vectors, right: Flags, counts: Counts) -> Proportion:
    """The share that is right among the surest texts, of which `coverage` in (0, 1] of all are
    taken. Of equally sure texts that only some are taken of, each is taken in part."""
    levels, which = np.unique(-confidence, return_inverse=True)
    of_level = (which[:, None] == np.arange(len(levels))).astype(float)
    held, good = counts @ of_level, (counts * right) @ of_level
    wanted = coverage * counts.sum(1, keepdims=True)
    taken = np.clip(wanted - (held.cumsum(1) - held), 0, held)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = (taken * np.where(held > 0, good / held, 0)).sum(1) / wanted[:, 0]
    return Proportion(shares.round(12), max(1, round(coverage * prompts_in(counts))))


def _drawn(
    answers: Sequence[tuple[str, float, bool]], resamples: int, seed: int
) -> tuple[Vectors, Flags, Counts]:
    prompts, confidence, right = zip(*answers, strict=True)
    return np.array(confidence), np.array(right), draw_prompts(prompts, resamples, seed)
