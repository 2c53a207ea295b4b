"""What a corpus is, the checks that each passes, and its manifest."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.concepts import concepts_of
from pipeline.core.console import InputError
from pipeline.core.files import sha256_of, write_json
from pipeline.core.naming import spelt_plainly
from pipeline.core.records import Document, Example, Question, Request, Split
from pipeline.core.scored_sets import UNNAMED, is_of_set, prompts_alone, sets_among
from pipeline.core.text_identity import normalised

# A pair needs two texts, and so does a cosine within a concept.
LEAST_TEXTS: dict[Split, int] = {"train": 2, "validation": 1, "test": 2}


@dataclass(frozen=True)
class Corpus:
    """All texts of a run.

    examples: learned from and measured. several: of several concepts, only learned from, as every
    score is of one concept. shifted: of other corpora, only scored. described: labelled texts that
    teach an embedded base model what concepts are called. documents: unlabelled texts. requests:
    prompts whose answers are judged. contrasts: safe prompts, each beside a harmful request that it
    differs from in a few words, and asked for nothing else. questions: with options to choose
    among. safe: the harmless concepts. dropped: the number of rows that were left out, by reason.
    as_meant: the number of things that were read otherwise than they were written, by kind.
    sources: repo, revision, sha256 and licence, as far as known, of every file that was read.
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
    as_meant: Mapping[str, int] = field(default_factory=dict)
    several: tuple[Example, ...] = ()
    questions: tuple[Question, ...] = ()
    contrasts: tuple[Request, ...] = ()

    @property
    def labelled(self) -> tuple[Example, ...]:
        """Every text whose hidden states are extracted, in the order of extraction."""
        return (*self.examples, *self.shifted)


def check_corpus(corpus: Corpus) -> None:
    """Refuse a corpus on which no result could be trusted.

    Raises InputError for a prompt in two splits, fewer than two concepts, two concepts that are
    said alike, or a concept with fewer texts in a split than LEAST_TEXTS.
    """
    split_of: dict[str, str] = {}
    for example in (*corpus.labelled, *corpus.several):
        own = UNNAMED if is_of_set(example.split) else example.split  # sets may share prompts
        split = split_of.setdefault(normalised(example.prompt), own)
        if split != own:
            raise InputError(
                f"a prompt of {example.id} stands in {split} and in {own}; split by prompt"
            )
    concepts = concepts_of(corpus.examples)
    if len(concepts) < 2:
        raise InputError(f"the corpus has {len(concepts)} concept(s); separation needs two")
    names: dict[str, str] = {}
    for concept in concepts:
        _refuse_said_alike(names.setdefault(spelt_plainly(concept), concept), concept)
    for concept in concepts_of(corpus.shifted):  # of each other, no one is asked to tell them
        _refuse_said_alike(names.get(spelt_plainly(concept), concept), concept)
    for lack in lacks(concepts, corpus.examples):
        raise InputError(f"{lack}: add texts, change the splits' shares or drop the concept")


def _refuse_said_alike(first: str, concept: str) -> None:
    if first != concept:
        raise InputError(f"concepts {first!r} and {concept!r} are said alike; rename one")


def lacks(concepts: Iterable[str], examples: Iterable[Example]) -> Iterator[str]:
    """The concepts that have too few texts in a split, one line each."""
    table = count_texts(examples)
    for concept in concepts:
        for split, needed in LEAST_TEXTS.items():
            found = table.get(concept, {}).get(split, 0)
            if found < needed:
                yield f"concept {concept!r} has {found} {split} text(s) and needs {needed}"


def count_texts(examples: Iterable[Example]) -> dict[str, dict[str, int]]:
    """The number of texts by concept and split, both sorted."""
    table: dict[str, dict[str, int]] = {}
    for (concept, split), number in sorted(Counter((e.concept, e.split) for e in examples).items()):
        table.setdefault(concept, {})[split] = number
    return table


def write_manifest(path: Path, corpus: Corpus, near_duplicates: Mapping[str, Any]) -> None:
    """Describe the corpora beside `path`, with the digest of every file."""
    digests = {file.name: sha256_of(file) for file in sorted(path.parent.glob("*.jsonl"))}
    write_json(path, manifest_of(corpus, near_duplicates) | {"sha256": digests})


def manifest_of(corpus: Corpus, near_duplicates: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a corpus: texts per concept and split, dropped rows, near-duplicates across
    splits, the sources, the licence.

    `as_meant` counts what was read otherwise than it was written, and is there only where anything
    was. `harm_only` are concepts that only shifted texts have: monitors are asked whether these
    texts are harmful, but not which concept they have. `sets` are the splits of shifted texts, and
    `prompts_alone` those of them that are read at the prompt's end alone, as not all are answered.
    """
    concepts = concepts_of(corpus.examples)
    as_meant = {kind: count for kind, count in corpus.as_meant.items() if count}
    table = count_texts(corpus.labelled)
    return {
        "concepts": concepts,
        "harm_only": sorted({*table} - {*concepts}),
        "sets": list(sets_among(example.split for example in corpus.shifted)),
        "prompts_alone": sorted(prompts_alone(corpus.shifted)),
        "safe": list(corpus.safe),
        "rows": table,
        **({"of_several_concepts": len(corpus.several)} if corpus.several else {}),
        "described": len(corpus.described),
        "documents": dict(sorted(Counter(d.split for d in corpus.documents).items())),
        "requests": len(corpus.requests),
        "questions": len(corpus.questions),
        "dropped": corpus.dropped,
        **({"as_meant": as_meant} if as_meant else {}),
        "near_duplicates": near_duplicates,
        "licence": corpus.licence,
        "sources": corpus.sources,
    }
