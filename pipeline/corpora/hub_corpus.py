"""Corpora of the Hub: the recipes that params.yaml chooses, made into one corpus."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipeline.core.console import InputError, nearest
from pipeline.core.records import Document, Request
from pipeline.core.sections import HubCorpora
from pipeline.core.text_identity import first_of_each, normalised
from pipeline.corpora.corpus import Corpus
from pipeline.corpora.hub_files import Lock, read_cells
from pipeline.corpora.labelled_corpus import Rules, labelled_corpus
from pipeline.corpora.recipes import (
    DOCUMENT_RECIPES,
    LABELLED_RECIPES,
    REQUEST_RECIPES,
    Cells,
    DocumentRecipe,
    LabelledRecipe,
    RequestRecipe,
)
from pipeline.corpora.rows import Row, digest
from pipeline.corpora.shifted import beside
from pipeline.corpora.sources import Source
from pipeline.hub.fetch import Fetched

_T = TypeVar("_T")
Recipe = LabelledRecipe | DocumentRecipe | RequestRecipe
Files = Mapping[Source, Mapping[str, Fetched]]  # by source and name


@dataclass(frozen=True)
class Chosen:
    """The recipes that params.yaml names: one of concepts, at most one of documents, and any number
    of requests and of sets of shifted texts, by their names."""

    labelled: LabelledRecipe
    shifted: dict[str, LabelledRecipe]
    documents: list[DocumentRecipe]
    requests: list[RequestRecipe]

    @property
    def sources(self) -> list[Source]:
        """The sources of all recipes, each once."""
        recipes: list[Recipe] = [
            self.labelled,
            *self.shifted.values(),
            *self.documents,
            *self.requests,
        ]
        return list(dict.fromkeys(recipe.source for recipe in recipes))


def fetch_corpus(wanted: HubCorpora, seed: int, lock: Path) -> Corpus:
    """Fetch the files that the chosen recipes name, and make a corpus of them.

    Raises InputError for an unknown recipe, a shifted one of the first one's files, a file that
    cannot be had, or one whose rows are not as its recipe reads them. The lock is written before
    the rows are read.
    """
    chosen = _chosen(wanted)
    seen = Lock(lock)
    files = {source: seen.fetch(source) for source in chosen.sources}
    seen.write()
    labelled = chosen.labelled
    corpus = labelled_corpus(
        _rows(labelled, files),
        Rules(
            labelled.safe, wanted.validation, wanted.test, seed, wanted.per_concept, labelled.vote
        ),
        "; ".join(sorted({f"{source.repo}: {source.licence}" for source in files})),
        _origins(files),
        documents=_documents(wanted.documents, chosen.documents, files, seed),
        requests=_requests(chosen.requests, files),
    )
    # As many of a concept as the test split may have at most.
    most = wanted.per_concept * wanted.test / (1 - wanted.validation - wanted.test)
    for name, recipe in chosen.shifted.items():
        rows = _rows(recipe, files)
        corpus = beside(corpus, name, rows, recipe.harmless, per_concept=most, vote=recipe.vote)
    return corpus


def _chosen(wanted: HubCorpora) -> Chosen:
    labelled = _known(LABELLED_RECIPES, wanted.concepts, "corpora.hub.concepts")
    documents = []
    if wanted.documents != "none":
        documents = [_known(DOCUMENT_RECIPES, wanted.documents, "corpora.hub.documents")]
    shifted = {
        name: _known(LABELLED_RECIPES, name, "corpora.hub.shifted") for name in wanted.shifted
    }
    for name, recipe in shifted.items():
        if recipe.source == labelled.source:
            raise InputError(
                f"corpora.hub.shifted: {name} reads the files of corpora.hub.concepts, "
                f"{wanted.concepts}: no other corpus; choose another recipe, or none"
            )
    requests = [_known(REQUEST_RECIPES, name, "corpora.hub.requests") for name in wanted.requests]
    return Chosen(labelled, shifted, documents, requests)


def _cells(recipe: Recipe, files: Files) -> Iterator[tuple[str, str, Cells]]:
    """The rows of a recipe's files: the file, where the row stands in words, and its cells."""
    for name, file in files[recipe.source].items():
        path = f"{recipe.source.repo}/{name}"
        for number, cells in enumerate(read_cells(file.path, name), 1):
            yield path, f"{path} row {number}", cells


def _rows(recipe: LabelledRecipe, files: Files) -> Iterator[Row]:
    for file, where, cells in _cells(recipe, files):
        yield from _made(recipe.rows, where, file, cells)


def _documents(
    name: str, recipes: Sequence[DocumentRecipe], files: Files, seed: int
) -> list[Document] | None:
    """The recipes' texts, each once; None where no recipe was chosen.

    Raises InputError where they are too few for both splits."""
    made = (
        text
        for recipe in recipes
        for _, where, cells in _cells(recipe, files)
        for text in _made(recipe.texts, where, cells)
    )
    texts = first_of_each(made, "\n".join)
    documents = [
        Document(f"retain-{digest(*text)}", *text, _split(text[0], seed)) for text in texts
    ]
    if recipes and {document.split for document in documents} != {"pretrain", "heldout"}:
        raise InputError(
            f"corpora.hub.documents: {name} has {len(documents)} texts, too few to go "
            "on reading some and measure others; choose another recipe"
        )
    return documents or None


def _requests(recipes: Sequence[RequestRecipe], files: Files) -> tuple[Request, ...]:
    """The recipes' requests, each once."""
    requests = dict.fromkeys(
        request
        for recipe in recipes
        for _, where, cells in _cells(recipe, files)
        for request in _made(recipe.requests, where, cells)
    )
    return tuple(requests)


def _origins(files: Files) -> dict[str, dict[str, str]]:
    """What the manifest says of every file."""
    return {
        f"{source.repo}/{name}": {
            "repo": source.repo,
            "revision": source.revision,
            "sha256": file.sha256,
            "licence": source.licence,
        }
        for source, found in files.items()
        for name, file in found.items()
    }


def _made(recipe: Callable[..., Iterator[_T]], where: str, *given: object) -> Iterator[_T]:
    """What a recipe makes of a row; InputError where the row is not as the recipe expects."""
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
            f"{where} is not as its recipe reads it ({type(error).__name__}: {error}); the "
            "dataset changed: pin the revision that the recipe was written for"
        ) from None


def _known(recipes: Mapping[str, _T], name: str, key: str) -> _T:
    if name not in recipes:
        raise InputError(f"{key}: no recipe {name!r}{nearest(name, recipes)}")
    return recipes[name]


def _split(prompt: str, seed: int) -> Any:
    """One document in twenty is held out, by the hash of its prompt."""
    return "heldout" if int(digest(str(seed), normalised(prompt)), 16) % 20 == 0 else "pretrain"
