"""Corpora of the Hub: the files that recipes name, fetched once and held to what they were.

Digests are held against the ones that a source gives and, where it gives none, against
sources.lock.json, to which the first fetch writes what it saw.
"""

import csv
import dataclasses
import gzip
import json
import lzma
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

from pipeline.core.concepts import normalised
from pipeline.core.console import InputError, nearest
from pipeline.core.files import read_json, write_json
from pipeline.core.records import Document
from pipeline.core.sections import HubCorpora
from pipeline.corpora.corpus import Corpus, labelled_corpus
from pipeline.corpora.recipes import (
    ASKED,
    LABELLED,
    TOLD,
    Asked,
    Cells,
    Labelled,
    Source,
    Told,
    digest,
)
from pipeline.corpora.rows import Row
from pipeline.corpora.shifted import beside
from pipeline.hub.fetch import Fetched, fetch
from pipeline.hub.listing import file_names

T = TypeVar("T")


def gather(wanted: HubCorpora, seed: int, lock: Path) -> Corpus:
    """Fetch the files that the chosen recipes name, and make a corpus of them.

    Raises InputError for an unknown recipe, a shifted one of the first one's files, a file that
    cannot be had, or one whose rows are not as its recipe reads them. The lock is written before
    the rows are read.
    """
    labelled = _known(LABELLED, wanted.concepts, "corpora.hub.concepts")
    told = (
        []
        if wanted.documents == "none"
        else [_known(TOLD, wanted.documents, "corpora.hub.documents")]
    )
    shifted = (
        []
        if wanted.shifted == "none"
        else [_known(LABELLED, wanted.shifted, "corpora.hub.shifted")]
    )
    if any(recipe.source == labelled.source for recipe in shifted):
        raise InputError(
            f"corpora.hub.shifted: {wanted.shifted} reads the files of corpora.hub.concepts, "
            f"{wanted.concepts}: no other corpus; choose another recipe, or none"
        )
    asked = [_known(ASKED, name, "corpora.hub.requests") for name in wanted.requests]
    recipes: list[Labelled | Told | Asked] = [labelled, *shifted, *told, *asked]
    sources = dict.fromkeys(recipe.source for recipe in recipes)
    seen = Lock(lock)
    files = {source: seen.fetch(source) for source in sources}
    seen.write()

    def cells(recipe: Labelled | Told | Asked) -> Iterator[tuple[str, str, Cells]]:
        for name, file in files[recipe.source].items():
            for number, row in enumerate(read_cells(file.path, name), 1):
                yield f"{recipe.source.repo}/{name}", f"row {number}", row

    def rows(recipe: Labelled) -> Iterator[Row]:
        for file, place, cell in cells(recipe):
            yield from _made(recipe.rows, f"{file} {place}", file, cell)

    texts = dict.fromkeys(
        text
        for recipe in told
        for file, place, cell in cells(recipe)
        for text in _made(recipe.texts, f"{file} {place}", cell)
    )
    documents = [
        Document(f"retain-{digest(*text)}", *text, _split(text[0], seed)) for text in texts
    ]
    if told and {document.split for document in documents} != {"pretrain", "heldout"}:
        raise InputError(
            f"corpora.hub.documents: {wanted.documents} has {len(documents)} texts, too few to go "
            "on reading some and measure others; choose another recipe"
        )
    requests = dict.fromkeys(
        request
        for recipe in asked
        for file, place, cell in cells(recipe)
        for request in _made(recipe.requests, f"{file} {place}", cell)
    )
    licences = sorted({f"{source.repo}: {source.licence}" for source in sources})
    corpus = labelled_corpus(
        rows(labelled),
        safe=labelled.safe,
        validation=wanted.validation,
        test=wanted.test,
        seed=seed,
        licence="; ".join(licences),
        per_concept=wanted.per_concept,
        vote=labelled.vote,
        documents=documents or None,
        requests=tuple(requests),
        sources={
            f"{source.repo}/{name}": {
                "repo": source.repo,
                "revision": source.revision,
                "sha256": file.sha256,
                "licence": source.licence,
            }
            for source, found in files.items()
            for name, file in found.items()
        },
    )
    # As many of a concept as the test split may have at most.
    most = wanted.per_concept * wanted.test / (1 - wanted.validation - wanted.test)
    for recipe in shifted:
        corpus = beside(corpus, rows(recipe), recipe.harmless, per_concept=most, vote=recipe.vote)
    return corpus


class Lock:
    """What was first seen of sources whose digests are not known here."""

    def __init__(self, path: Path):
        self.path = path
        self.entries = _read_lock(path)

    def fetch(self, source: Source) -> dict[str, Fetched]:
        """A source's files, each with the digest that is known for it or was seen first."""
        entry = self.entries.get(source.repo, {})
        if entry.get("revision") != source.revision:  # another revision has other files
            entry = self.entries[source.repo] = {"revision": source.revision, "files": {}}
        seen: dict[str, str] = entry["files"]
        names: dict[str, str] = {}
        for pattern, sha256 in source.files:
            name = _match(pattern, [*seen]) or self._listed(source, pattern)
            names[name] = sha256 or seen.get(name, "")
        found = fetch(
            source.repo,
            [*names],
            source.revision,
            "dataset",
            {name: digest for name, digest in names.items() if digest},
        )
        seen |= {name: file.sha256 for name, file in found.items()}
        return found

    def write(self) -> None:
        write_json(self.path, self.entries)

    def _listed(self, source: Source, pattern: str) -> str:
        if "*" not in pattern:
            return pattern
        names = file_names(source.repo, source.revision, "dataset")
        name = _match(pattern, names)
        if name is None:
            raise InputError(
                f"dataset {source.repo}@{source.revision[:12]} has not one file like {pattern}; "
                "its layout changed: choose another recipe, or set corpora.source: embedded"
            )
        return name


def _read_lock(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    try:
        entries = read_json(path)
        if all({"revision", "files"} == entry.keys() for entry in entries.values()):
            return dict(entries)
    except (ValueError, AttributeError):
        pass
    raise InputError(f"{path} is damaged; restore it from the repository")


def _match(pattern: str, names: Iterable[str]) -> str | None:
    found = [name for name in names if fnmatch(name, pattern)]
    return found[0] if len(found) == 1 else None


def read_cells(path: Path, name: str) -> Iterator[Cells]:
    """The rows of a file, by the ending of its name: jsonl (also .gz, .xz), json, csv, parquet.

    Raises InputError naming the file where it is none of these, or not what its name says.
    """
    try:
        if name.endswith(".parquet"):
            import pyarrow.parquet as pq  # type: ignore[import-untyped]

            for batch in pq.ParquetFile(path).iter_batches(1000):
                yield from batch.to_pylist()
        elif name.endswith(".csv"):
            with path.open(encoding="utf-8-sig", newline="") as lines:
                yield from csv.DictReader(lines)
        elif name.endswith(".json"):
            yield from read_json(path)
        elif name.endswith((".jsonl", ".jsonl.gz", ".jsonl.xz")):
            opened: Any = {".gz": gzip.open, ".xz": lzma.open}.get(Path(name).suffix, open)
            with opened(path, "rt", encoding="utf-8", newline="\n") as lines:
                yield from map(json.loads, lines)
        else:
            raise InputError(f"{name} is of no kind that is read: jsonl, json, csv or parquet")
    except (ValueError, OSError, EOFError, lzma.LZMAError, csv.Error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} is not what its name says ({error}); choose another") from None


def _made(recipe: Callable[..., Iterator[T]], place: str, *given: object) -> Iterator[T]:
    """What a recipe makes of a row; InputError where the row is not as it was."""
    try:
        for made in recipe(*given):
            fields = made if isinstance(made, tuple) else dataclasses.astuple(made)  # type: ignore[call-overload]
            for text in fields:
                if text is None:
                    raise TypeError("a text is missing")
                str(text).encode()  # half of a character pair cannot be written
            yield made
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{place} is not as its recipe reads it ({type(error).__name__}: {error}); the "
            "dataset changed: pin the revision that the recipe was written for"
        ) from None


def _known(recipes: Mapping[str, T], name: str, key: str) -> T:
    if name not in recipes:
        raise InputError(f"{key}: no recipe {name!r}{nearest(name, recipes)}")
    return recipes[name]


def _split(prompt: str, seed: int) -> Any:
    """One document in twenty is held out, by the hash of its prompt."""
    return "heldout" if int(digest(str(seed), normalised(prompt)), 16) % 20 == 0 else "pretrain"
