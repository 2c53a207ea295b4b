"""Every random stream of numpy by name: a random generator is made here and nowhere else.

A stream is the sequence of draws that serves one purpose, such as the choice of pairs. Its number
enters the generator's entropy beside the run's seed. Streams of different numbers are independent,
so a change to one purpose leaves the draws of all others as they are. Two purposes of one number
would make the same draws: a text that the first one picks, the second one would tend to pick too.
That is why a number is used once, and is not given to a new purpose when an old one goes.

Torch has generators of its own; they are seeded with the run's seed alone, but where ranks share
answers (ANSWERS).
"""

from enum import IntEnum, unique

import numpy as np


@unique
class RandomStream(IntEnum):
    """What is drawn, and the number of its stream. Renumbering one changes results."""

    WORDS = 0  # which words of a concept are novel
    DOCUMENTS = 1  # the embedded corpora's unlabelled texts
    REQUESTS = 2  # their prompts to be judged by
    PRETRAINING = 3  # what the embedded model is trained on, and in which order
    PAIRS = 4  # contrastive pairs; further: labelling and sampling
    RETAINED = 5  # documents that a finetune step retains; further: the step
    RESAMPLES = 6  # the bootstrap's texts, the same for every metric
    DESCRIBED = 7  # messages that teach an embedded model the concepts' names
    EXAMPLES = 8  # the embedded corpora's labelled texts
    SHIFTED = 9  # labelled texts worded in another way
    MONITOR_CONTROLS = 10  # labels and vectors of monitors that should find nothing
    SHIFTED_CONTROLS = 11  # the same for other corpora's texts; further: the corpus
    LABELLINGS = 12  # permuted labels that separation is compared with
    TRANSPORT_LABELS = 13  # permuted labels that the k-variance is compared with
    TRANSPORT_SAMPLES = 14  # texts that are moved onto each other
    TRANSPORT_GAPS = 15  # permuted gaps that the rank correlation is compared with
    LABEL_DIRECTIONS = 16  # where texts of a label are pulled without a contrast; further: label
    READER = 17  # texts that a reader is taught by, its states untouched
    MOVES = 18  # random directions that states are moved in
    QUESTIONS = 19  # wrong options beside a document's response, and where the right one stands
    AFFINE_LABELS = 20  # permuted labels that an affine map is taught as a control
    EVERYDAY = 21  # a set of mostly harmless texts
    SUFFIXES = 22  # suffixes that monitors are attacked with; further: the monitor
    ANSWERS = 23  # what torch is seeded with for answers that ranks share; further: the batch


def rng_of(stream: RandomStream, seed: int, *further: int) -> np.random.Generator:
    """A new generator at the start of a stream.

    seed: the run's seed, in [0, 2**32). further: numbers that part a stream, such as the step.
    Trailing zeros of `further` make no difference: a stream takes equally many in every call.
    """
    return np.random.default_rng([seed, stream, *further])
