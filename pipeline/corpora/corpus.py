"""What a corpus is, how labelled rows become one, and the checks that each passes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.core.concepts import concepts_of, normalised, requests_of, spoken
from pipeline.core.console import InputError
from pipeline.core.files import sha256_of, write_json
from pipeline.core.records import Document, Example, Request, Split
from pipeline.corpora.rows import Row, _splitter, at_most, distinct, text_of

# A pair needs two texts, and so does a cosine within a concept.
LEAST_TEXTS: dict[Split, int] = {"train": 2, "validation": 1, "test": 2}


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
            "sha256": {file.name: sha256_of(file) for file in files},
        },
    )


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
