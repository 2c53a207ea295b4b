"""Prompt sets of a folder, by name: more requests, whatever corpus is learned from.

Each set is a subfolder with files as they are published; see examples/prompts/README.md.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.core.console import InputError, nearest
from pipeline.core.files import sha256_of
from pipeline.core.records import Request, evenly_spaced
from pipeline.core.sections import PromptSets
from pipeline.core.text_identity import normalised
from pipeline.corpora.corpus import Corpus
from pipeline.corpora.recipes import xstest
from pipeline.corpora.rows import digest

Rows = Iterable[Mapping[str, Any]]


def refusal(file: str, rows: Rows) -> Iterator[Request]:
    """Harmful and harmless instructions (arXiv 2406.11717), told apart by their files."""
    for row in rows:
        yield _request("refusal", row["instruction"], file.startswith("harmful"))


def jailbreaks(_: str, rows: Rows) -> Iterator[Request]:
    """JailbreakBench's artifacts (arXiv 2404.01318): each goal as it is, and framed by the prompt
    that an attacker found for it, where there is one: a set of its own among what is measured."""
    for row in rows:
        yield _request("jailbreaks", row["goal"], True)
        if row["prompt"]:
            yield replace(_request("jailbreaks_framed", row["prompt"], True), framed=True)


def xstest_prompts(_: str, rows: Rows) -> Iterator[Request]:
    """XSTest: safe prompts that sound harmful, and harmful ones in contrast to them."""
    for row in rows:
        yield from xstest(row)


SetReader = Callable[[str, Rows], Iterator[Request]]
# By name: how a file's rows are read, and the pattern of the files.
PROMPT_SETS: dict[str, tuple[SetReader, str]] = {
    "jailbreaks": (jailbreaks, "*.json"),
    "refusal": (refusal, "harm*_test.json"),
    "xstest": (xstest_prompts, "xstest_prompts.csv"),
}


def with_prompt_sets(corpus: Corpus, wanted: PromptSets) -> Corpus:
    """The corpus with the requests of every set that params name, at most `wanted.most` of each
    kind of a set, harmful or not and framed or not, evenly spaced over its files. A prompt that is
    a request already is left out, and so is one of the corpus' own texts; other corpora's texts,
    which are only scored, may be asked too.

    Raises InputError for an unknown set, one without files, and a file that is not as published.
    """
    known = {normalised(text.prompt) for text in (*corpus.examples, *corpus.several)}
    known |= {normalised(request.prompt) for request in corpus.requests}
    requests, sources = [*corpus.requests], dict(corpus.sources)
    for name in wanted.sets:
        fresh: dict[str, Request] = {}
        for path in files_of(Path(wanted.folder), name):
            licence = "as stated by the prompts' publisher"
            shown = path.relative_to(wanted.folder).as_posix()
            sources[shown] = {"sha256": sha256_of(path), "licence": licence}
            for request in _read(path, PROMPT_SETS[name][0]):
                if (prompt := normalised(request.prompt)) not in known:
                    fresh.setdefault(prompt, request)
        chosen = _at_most(wanted.most, [*fresh.values()])
        known |= {normalised(request.prompt) for request in chosen}
        requests += chosen
    return replace(corpus, requests=tuple(requests), sources=sources)


def _at_most(count: int, requests: list[Request]) -> list[Request]:
    """So many of each kind, evenly spaced, in the order in which they stand; all where count is
    0."""
    kinds: dict[tuple[bool, bool], list[Request]] = {}
    for request in requests:
        kinds.setdefault((request.harmful, request.framed), []).append(request)
    kept = {one.id for some in kinds.values() for one in evenly_spaced(some, count or len(some))}
    return [request for request in requests if request.id in kept]


def files_of(folder: Path, name: str) -> list[Path]:
    """The files of a set. Raises InputError where there are none."""
    if name not in PROMPT_SETS:
        raise InputError(
            f"corpora.prompts.sets: no prompt set {name!r}{nearest(name, PROMPT_SETS)}"
        )
    pattern = PROMPT_SETS[name][1]
    found = sorted((folder / name).glob(pattern))
    if not found:
        raise InputError(
            f"corpora.prompts.sets: {folder / name} holds no {pattern}; put the set's files there, "
            "or name another folder"
        )
    return found


def _read(path: Path, read: SetReader) -> list[Request]:
    try:
        return list(read(path.name, _rows(path)))
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{path} is not as its set is published ({type(error).__name__}: {error}); take the "
            "publisher's file, or leave the set out"
        ) from None


def _rows(path: Path) -> Rows:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    tree = json.loads(path.read_text(encoding="utf-8"))
    rows: Rows = tree["jailbreaks"] if isinstance(tree, dict) else tree
    return rows


def _request(name: str, prompt: str, harmful: bool) -> Request:
    return Request(f"{name}-{digest(prompt)}", prompt, harmful, False, "test", name)
