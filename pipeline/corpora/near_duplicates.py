"""Prompts of two splits that are nearly the same: leaks that no comparison for equality finds."""

import heapq
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import islice

from datasketch import MinHash, MinHashLSH

from pipeline.core.console import progress
from pipeline.core.records import Example
from pipeline.core.scored_sets import UNNAMED, is_of_set
from pipeline.core.text_identity import normalised

# Two prompts are near-duplicates where their sets of runs of RUN characters have at least this
# Jaccard index. Of a sentence of ten words, one word may differ.
LEAST_SIMILARITY = 0.7
RUN = 5
# Runs that stand in more than a tenth of the prompts, and in more than a few, belong to a template
# ("Answer the following question."): they say nothing about which prompt this is, and do not count.
COMMON, FEW, SAMPLE = 0.1, 20, 2000
# 25 bands of 5 hashes make a candidate of 99 % of pairs at the threshold and of more above it;
# every candidate is then compared exactly, so that none is reported wrongly.
BANDS, HASHES = 25, 5
# Among many prompts that are all alike, pairs are as many as prompts squared: the index takes no
# further prompt of a split of which it holds so many like it, and what is counted is a lower bound.
CROWD = 50
MOST = 200_000  # prompts that are compared: of more, evenly spaced ones
AT_ONCE = 4096  # runs hashed at a time: a prompt of a million characters takes no gigabyte
EXAMPLES_SHOWN = 5


@dataclass(frozen=True)
class NearDuplicates:
    """compared: the number of prompts. pairs: the number of near-duplicates across splits.
    share_of_test, share_of_shifted: the shares of these prompts that have one in training, in
    [0, 1]; all sets of shifted texts count as one split. examples: the most similar pairs, as the
    ids of their texts and their Jaccard index."""

    compared: int
    pairs: int
    share_of_test: float
    share_of_shifted: float
    examples: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class _Prompt:
    text: str
    split: str
    example: str


def find_near_duplicates(examples: Sequence[Example]) -> NearDuplicates:
    """Near-duplicate prompts across splits; the same examples give the same answer."""
    every = list(_prompts(examples))
    prompts = every[:: 1 + len(every) // MOST]
    pairs = list(_pairs(prompts))
    first = heapq.nsmallest(
        EXAMPLES_SHOWN, ((-alike, one.example, other.example) for one, other, alike in pairs)
    )
    return NearDuplicates(
        compared=len(prompts),
        pairs=len(pairs),
        share_of_test=_leaked(prompts, pairs, "test"),
        share_of_shifted=_leaked(prompts, pairs, UNNAMED),
        examples=tuple((one, other, -alike) for alike, one, other in first),
    )


def _leaked(
    prompts: Sequence[_Prompt], pairs: Sequence[tuple[_Prompt, _Prompt, float]], split: str
) -> float:
    """The share of a split's prompts that have a near-duplicate in training; 0 of none."""
    leaked = {
        prompt.example
        for one, other, _ in pairs
        for prompt in (one, other)
        if {one.split, other.split} == {"train", split} and prompt.split == split
    }
    return len(leaked) / max(sum(prompt.split == split for prompt in prompts), 1)


def _prompts(examples: Sequence[Example]) -> Iterator[_Prompt]:
    """Every split's prompts, each once: a prompt with several answers is no leak."""
    seen = set()
    for example in examples:
        text = normalised(example.prompt)
        split = UNNAMED if is_of_set(example.split) else example.split
        if (text, split) not in seen:
            seen.add((text, split))
            yield _Prompt(text, split, example.id)


def _pairs(prompts: Sequence[_Prompt]) -> Iterator[tuple[_Prompt, _Prompt, float]]:
    """Every pair of near-duplicates: each prompt looks up those before it in the other splits."""
    index = MinHashLSH(num_perm=BANDS * HASHES, params=(BANDS, HASHES))
    blank = MinHash(BANDS * HASHES, hashfunc=zlib.crc32)
    common = _common(prompts)
    for number, prompt in enumerate(progress(prompts, "near-duplicates", len(prompts))):
        runs = _telling(prompt.text, common)
        sketch = _sketch(blank, runs)
        candidates = [prompts[key] for key in index.query(sketch)]
        others = [candidate for candidate in candidates if candidate.split != prompt.split]
        for other in others:
            alike = jaccard(runs, _telling(other.text, common))
            if alike >= LEAST_SIMILARITY:
                yield other, prompt, alike
        if len(candidates) - len(others) < CROWD:
            index.insert(number, sketch)


def jaccard(one: Set[str], other: Set[str]) -> float:
    """The Jaccard index of two sets: the share of what is in either that is in both."""
    return len(one & other) / len(one | other)


def _sketch(blank: MinHash, runs: Set[str]) -> MinHash:
    sketch, waiting = blank.copy(), iter(runs)
    while batch := [run.encode() for run in islice(waiting, AT_ONCE)]:
        sketch.update_batch(batch)
    return sketch


def _common(prompts: Sequence[_Prompt]) -> Set[str]:
    """The runs of templates, as a sample of the prompts shows them."""
    sample = prompts[:: 1 + len(prompts) // SAMPLE]
    counts = Counter(run for prompt in sample for run in _runs(prompt.text))
    most = max(FEW, COMMON * len(sample))
    return {run for run, count in counts.items() if count > most}


def _telling(text: str, common: Set[str]) -> Set[str]:
    """A text's runs without common ones; of a text that has no other, the text itself."""
    return _runs(text) - common or {text}


def _runs(text: str) -> set[str]:
    """All runs of so many characters in a text; of a shorter one, the text itself."""
    return {text[start : start + RUN] for start in range(max(1, len(text) - RUN + 1))}
