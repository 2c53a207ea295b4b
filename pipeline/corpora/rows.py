"""A labelled row of any source: its identity, its votes, its split, and the cut per concept."""

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.core.concepts import normalised
from pipeline.core.records import Example, Split

CAREFUL_ANSWER = "Sorry, I cannot assist with this."


@dataclass(frozen=True, slots=True)
class Row:
    """A labelled text as a source holds it; `safe_response` is empty where it names none, and
    `label` where the text is of no concept that was asked for."""

    prompt: str
    response: str
    safe_response: str
    label: str
    source: str


def distinct(rows: Iterable[Row], vote: bool) -> tuple[dict[str, Row], dict[str, int]]:
    """The first row of every text, by its digest, under a label that no other row disputes."""
    kept: dict[str, Row] = {}
    labels: dict[str, Counter[str]] = {}  # of texts that several rows hold
    for row in rows:
        name = _digest(row)
        first = kept.setdefault(name, row)
        if first is not row:
            labels.setdefault(name, Counter([first.label]))[row.label] += 1
    dropped = {"contradicting_labels": 0, "duplicates": 0}
    if vote:
        dropped["outvoted"] = 0
    for name, votes in labels.items():
        label = _agreed(votes, vote)
        if label is None:
            del kept[name]
            dropped["contradicting_labels"] += votes.total()
        else:
            kept[name] = replace(kept[name], label=label)
            dropped["duplicates"] += votes[label] - 1
            if vote:
                dropped["outvoted"] += votes.total() - votes[label]
    chosen = {name: row for name, row in kept.items() if row.label}
    if len(chosen) < len(kept):
        dropped["of_no_chosen_concept"] = len(kept) - len(chosen)
    return chosen, dropped


def _agreed(votes: Counter[str], vote: bool) -> str | None:
    """The label that every row says or, by vote, more rows than say any other."""
    (first, most), *others = votes.most_common(2)
    agreed = not others or (vote and others[0][1] < most)
    return first if agreed else None


def _digest(row: Row) -> str:
    """What makes two rows the same text."""
    text = f"{normalised(row.prompt)}\0{normalised(row.response)}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _splitter(validation: float, test: float, seed: int) -> Callable[[str], Split]:
    """Which split a prompt belongs to: by its own hash, so that no other row has a say."""

    def split_of(prompt: str) -> Split:
        digest = hashlib.sha256(f"{seed}|{normalised(prompt)}".encode()).digest()
        share = int.from_bytes(digest[:8]) / 2**64
        if share < test:
            return "test"
        return "validation" if share < test + validation else "train"

    return split_of


def text_of(name: str, row: Row, split: Split, harmless: bool) -> Example:
    """A row as an example; a harmful one is answered with care by a refusal."""
    careful = row.safe_response or (row.response if harmless else CAREFUL_ANSWER)
    return Example(name, row.prompt, row.response, careful, row.label, split, row.source)


def at_most(examples: Sequence[Example], most: Mapping[Split, float]) -> list[Example]:
    """So many of every concept in each split, rounded up: the texts with the smallest digests, so
    that the order of rows has no say in which."""
    names: dict[tuple[str, Split], list[str]] = {}
    for example in examples:
        names.setdefault((example.concept, example.split), []).append(example.id)
    chosen = {
        name
        for (_, split), group in names.items()
        for name in heapq.nsmallest(math.ceil(most[split]), group)
    }
    return [example for example in examples if example.id in chosen]
