"""What a corpus is, how labelled rows become one, and the checks that each passes."""

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.console import InputError
from pipeline.files import read_json, write_json
from pipeline.records import Document, Example, Request, Split, concepts_of, spoken

CAREFUL_ANSWER = "Sorry, I cannot assist with this."
# A pair needs two texts, and so does a cosine within a concept.
LEAST_TEXTS: dict[Split, int] = {"train": 2, "validation": 1, "test": 2}


@dataclass(frozen=True, slots=True)
class Row:
    """A labelled text as a source holds it; `safe_response` is empty where it names none, and
    `label` where the text is of no concept that was asked for."""

    prompt: str
    response: str
    safe_response: str
    label: str
    source: str


@dataclass(frozen=True)
class Corpus:
    """All texts of a run.

    `examples` are learned and measured; `shifted` ones, another corpus', are only ever scored.
    `described` are labelled texts that teach an embedded base model what concepts are called;
    `safe` names the harmless concepts; `dropped` counts rows by reason; `sources` says of every
    file that was read what is known of it: repo, revision, sha256, licence.
    """

    examples: tuple[Example, ...]
    described: tuple[Example, ...]
    documents: tuple[Document, ...]
    requests: tuple[Request, ...]
    safe: tuple[str, ...]
    dropped: dict[str, int]
    licence: str
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    shifted: tuple[Example, ...] = ()

    @property
    def labelled(self) -> tuple[Example, ...]:
        """Every text that states are read of, in their order."""
        return (*self.examples, *self.shifted)


def labelled_corpus(
    rows: Iterable[Row],
    safe: Sequence[str],
    validation: float,
    test: float,
    seed: int,
    licence: str,
    *,
    per_concept: int = 0,
    vote: bool = False,
    documents: Sequence[Document] | None = None,
    requests: Sequence[Request] = (),
    sources: Mapping[str, Mapping[str, str]] | None = None,
) -> Corpus:
    """Labelled rows as a corpus: every row is kept, or counted as dropped.

    Repeated texts are dropped. Texts that stand under several labels are dropped whole or, by
    `vote`, keep the label that most of their rows say. Texts are split by prompt, so that no
    prompt stands in two splits. `per_concept` (0: all) is the most training texts that a concept
    keeps; its other splits shrink in proportion. Without documents of their own, training and
    validation texts are the documents; `requests` are asked beside the test prompts. Documents of
    held-out prompts are dropped, and so are requests that were learned from, chosen by, or are
    asked already.
    """
    kept, dropped = distinct(rows, vote)
    split_of = _splitter(validation, test, seed)
    examples = [
        text_of(name, row, split_of(row.prompt), row.label in safe or not safe)
        for name, row in kept.items()
    ]
    if per_concept:
        per_share = per_concept / (1 - validation - test)
        most: dict[Split, float] = {
            "train": per_concept, "validation": per_share * validation, "test": per_share * test
        }  # fmt: skip
        enough = at_most(examples, most)
        dropped["beyond_per_concept"] = len(examples) - len(enough)
        examples = enough
    learned = {normalised(e.prompt) for e in examples if e.split == "train"}
    held_out = {normalised(e.prompt) for e in examples} - learned
    told = [d for d in documents or () if normalised(d.prompt) not in held_out]
    own = requests_of(examples, safe, "test")
    known = {normalised(e.prompt) for e in examples if e.split != "test"}
    known |= {normalised(request.prompt) for request in own}
    asked = [r for r in requests if normalised(r.prompt) not in known]
    if documents:
        dropped["documents_held_out"] = len(documents) - len(told)
    if requests:
        dropped["requests_known"] = len(requests) - len(asked)
    return Corpus(
        examples=tuple(examples),
        described=tuple(_renamed(e) for e in examples if e.split == "train"),
        documents=tuple(_documents(examples) if documents is None else told),
        requests=(*own, *asked),
        safe=tuple(safe),
        dropped=dropped,
        licence=licence,
        sources=sources or {},
    )


def check_corpus(corpus: Corpus) -> None:
    """Refuse a corpus that no result could be trusted on.

    Raises InputError for a prompt in two splits, fewer than two concepts, two that are said alike,
    or a concept with too few texts of a split to draw a pair or to measure one.
    """
    homes: dict[str, str] = {}
    for example in corpus.labelled:
        home = homes.setdefault(normalised(example.prompt), example.split)
        if home != example.split:
            raise InputError(
                f"a prompt of {example.id} stands in {home} and in {example.split}; split by prompt"
            )
    counts = Counter((example.concept, example.split) for example in corpus.labelled)
    concepts = concepts_of(corpus.examples)
    if len(concepts) < 2:
        raise InputError(f"the corpus has {len(concepts)} concept(s); separation needs two")
    names: dict[str, str] = {}
    for concept in concepts_of(corpus.labelled):
        alike = names.setdefault(spoken(concept).lower(), concept)
        if alike != concept:
            raise InputError(f"concepts {alike!r} and {concept!r} are said alike; rename one")
    for concept in concepts:
        for split, needed in LEAST_TEXTS.items():
            if counts[concept, split] < needed:
                raise InputError(
                    f"concept {concept!r} has {counts[concept, split]} {split} text(s) and needs "
                    f"{needed}: add texts, change the splits' shares or drop the concept"
                )


def write_manifest(path: Path, corpus: Corpus, near_duplicates: Mapping[str, Any]) -> None:
    """What the corpora beside `path` hold: rows per concept and split, what was dropped, what
    stands nearly alike in two splits, the digest of every file, the sources, the licence.

    `harm_only` are concepts that only shifted texts have: monitors are asked whether they are
    harmful, not which they are."""
    counts = Counter((e.concept, e.split) for e in corpus.labelled)
    concepts = concepts_of(corpus.examples)
    files = sorted(path.parent.glob("*.jsonl"))
    table: dict[str, dict[str, int]] = {}
    for (concept, split), number in sorted(counts.items()):
        table.setdefault(concept, {})[split] = number
    write_json(
        path,
        {
            "concepts": concepts,
            "harm_only": sorted({*table} - {*concepts}),
            "safe": list(corpus.safe),
            "rows": table,
            "described": len(corpus.described),
            "documents": dict(sorted(Counter(d.split for d in corpus.documents).items())),
            "requests": len(corpus.requests),
            "dropped": corpus.dropped,
            "near_duplicates": near_duplicates,
            "licence": corpus.licence,
            "sources": corpus.sources,
            "sha256": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
        },
    )


def safe_concepts(manifest: Path) -> tuple[str, ...]:
    """The harmless concepts that a manifest names; none where no concept means harm."""
    return tuple(read_json(manifest)["safe"])


def requests_of(examples: Sequence[Example], safe: Sequence[str], split: Split) -> list[Request]:
    """The prompts of a split, harmful or safe, each asked once; none where no label means harm,
    and without prompts that were answered harmfully as well as safely."""
    if not safe:
        return []
    chosen = [example for example in examples if example.split == split]
    kinds: dict[str, set[bool]] = {}
    for example in chosen:
        kinds.setdefault(normalised(example.prompt), set()).add(example.concept not in safe)
    asked: dict[str, Request] = {}
    for example in chosen:
        prompt = normalised(example.prompt)
        if len(kinds[prompt]) == 1:
            harmful = example.concept not in safe
            asked.setdefault(prompt, Request(example.id, example.prompt, harmful, False, split))
    return list(asked.values())


def normalised(text: str) -> str:
    """A text without differences of case and white space: what makes two texts the same."""
    return " ".join(text.lower().split())


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


def _renamed(example: Example) -> Example:
    """A training text as one that teaches an embedded base model its concept's name."""
    return replace(example, id=f"described-{example.id}", split="described")


def _documents(examples: Sequence[Example]) -> list[Document]:
    """Training texts to learn the language from; validation texts to measure perplexity on."""
    splits: dict[str, Split] = {"train": "pretrain", "validation": "heldout"}
    return [
        Document(f"{splits[e.split]}-{e.id}", e.prompt, e.response, splits[e.split])
        for e in examples
        if e.split in splits
    ]
