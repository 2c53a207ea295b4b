"""Labelled rows of any source: which are one text, its label and split, and the cut per concept."""

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.core.records import Example, Split
from pipeline.core.text_identity import LabelForms, normalised

CAREFUL_ANSWER = "Sorry, I cannot assist with this."


@dataclass(frozen=True, slots=True)
class Row:
    """A labelled text as a source has it. `safe_response` is empty where the source has none, and
    `label` where the text has none of the concepts that were chosen. also: further labels. said:
    what the source says of a question's right answer, where that is not in the response."""

    prompt: str
    response: str
    safe_response: str
    label: str
    source: str
    also: tuple[str, ...] = ()
    said: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        return (self.label, *self.also)

    def labelled(self, labels: Iterable[str]) -> "Row":
        """The same text with other labels, in an order of their own."""
        label, *also = sorted(set(labels))
        return replace(self, label=label, also=tuple(also))


def in_one_form(rows: Iterable[Row], forms: LabelForms) -> Iterator[Row]:
    """The rows, with one form of labels that are the same to a reader."""
    return (row.labelled(map(forms.of, row.labels)) for row in rows)


def distinct(rows: Iterable[Row], vote: bool) -> tuple[dict[str, Row], dict[str, int]]:
    """The first row of every text, by the text's digest, and the number of dropped rows by reason.

    A text that stands under several labels is dropped or, by `vote`, keeps the most frequent.
    """
    kept: dict[str, Row] = {}
    labels: dict[str, Counter[tuple[str, ...]]] = {}  # of texts that several rows hold
    for row in rows:
        name = digest_of(row)
        first = kept.setdefault(name, row)
        if first is not row:
            labels.setdefault(name, Counter([first.labels]))[row.labels] += 1
    dropped = {"contradicting_labels": 0, "duplicates": 0}
    if vote:
        dropped["outvoted"] = 0
    for name, votes in labels.items():
        label = _agreed(votes, vote)
        if label is None:
            del kept[name]
            dropped["contradicting_labels"] += votes.total()
        else:
            kept[name] = kept[name].labelled(label)
            dropped["duplicates"] += votes[label] - 1
            if vote:
                dropped["outvoted"] += votes.total() - votes[label]
    chosen = {name: row for name, row in kept.items() if row.label}
    if len(chosen) < len(kept):
        dropped["of_no_chosen_concept"] = len(kept) - len(chosen)
    return chosen, dropped


def _agreed(votes: Counter[tuple[str, ...]], vote: bool) -> tuple[str, ...] | None:
    """The labels that every row says or, by vote, more rows than say any others."""
    (first, most), *others = votes.most_common(2)
    agreed = not others or (vote and others[0][1] < most)
    return first if agreed else None


def digest_of(row: Row) -> str:
    """The same for two rows that are the same text."""
    return digest(normalised(row.prompt), normalised(row.response))


def digest(*parts: str) -> str:
    """A short name for texts: the same for the same texts in the same order."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def splitter(validation: float, test: float, seed: int) -> Callable[[str], Split]:
    """The split of a prompt, by its hash and the seed alone: other rows do not move it."""

    def split_of(prompt: str) -> Split:
        hashed = hashlib.sha256(f"{seed}|{normalised(prompt)}".encode()).digest()
        share = int.from_bytes(hashed[:8]) / 2**64
        if share < test:
            return "test"
        return "validation" if share < test + validation else "train"

    return split_of


def text_of(name: str, row: Row, split: Split, harmless: bool) -> Example:
    """A row as an example. A careful model answers a harmless one as the row does, and refuses a
    harmful one, unless the row says otherwise."""
    careful = row.safe_response or (row.response if harmless else CAREFUL_ANSWER)
    return Example(name, row.prompt, row.response, careful, row.label, split, row.source, row.also)


def at_most(examples: Sequence[Example], most: Mapping[Split, float]) -> list[Example]:
    """At most so many texts of every concept in each split, rounded up: those with the smallest
    digests, whatever the order of rows."""
    names: dict[tuple[str, Split], list[str]] = {}
    for example in examples:
        names.setdefault((example.concept, example.split), []).append(example.id)
    chosen = {
        name
        for (_, split), group in names.items()
        for name in heapq.nsmallest(math.ceil(most[split]), group)
    }
    return [example for example in examples if example.id in chosen]
