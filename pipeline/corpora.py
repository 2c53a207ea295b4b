"""Labelled texts from tables, and the checks that every corpus passes, whatever its source."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.console import InputError
from pipeline.files import read_json, write_json
from pipeline.params import CsvCorpora
from pipeline.records import Document, Example, Request, Split, spoken

CAREFUL_ANSWER = "Sorry, I cannot assist with this."
# A pair needs two texts, and so does a cosine within a concept.
LEAST_TEXTS: dict[Split, int] = {"train": 2, "validation": 1, "test": 2}


@dataclass(frozen=True)
class Corpus:
    """All texts of a run.

    `described` are labelled texts that teach an embedded base model what concepts are called;
    `safe` names the harmless concepts; `dropped` counts rows by reason.
    """

    examples: tuple[Example, ...]
    described: tuple[Example, ...]
    documents: tuple[Document, ...]
    requests: tuple[Request, ...]
    safe: tuple[str, ...]
    dropped: dict[str, int]
    licence: str


def read_tables(params: CsvCorpora, seed: int) -> Corpus:
    """Read every CSV of a folder: columns `prompt`, `response` and the label's.

    Texts are split by prompt, so that no prompt stands in two splits. Repeated texts are dropped,
    and texts that stand under two labels are dropped whole; both are counted.
    Raises InputError naming the file, the row or the column, and the remedy.
    """
    folder = Path(params.folder)
    paths = sorted(path for path in folder.glob("*.csv") if path.is_file())
    if not paths:
        raise InputError(f"corpora.csv.folder: {folder} holds no .csv file; name a folder of them")
    rows = [row for path in paths for row in _rows(path, params.label)]
    unknown = sorted(set(params.safe) - {row.label for row in rows})
    if unknown:
        raise InputError(f"corpora.csv.safe names {unknown[0]!r}, which no row is labelled with")
    if params.safe and {row.label for row in rows} <= set(params.safe):
        raise InputError("corpora.csv.safe names every label; leave it empty where none means harm")
    kept, dropped = _distinct(rows)
    split_of = _splitter(params, seed)
    examples = [
        _example(row, split_of(row.prompt), row.label in params.safe or not params.safe)
        for row in kept
    ]
    return Corpus(
        examples=tuple(examples),
        described=tuple(_renamed(e) for e in examples if e.split == "train"),
        documents=tuple(_documents(examples)),
        requests=tuple(_requests(examples, params.safe)),
        safe=params.safe,
        dropped=dropped,
        licence="as stated by the tables' publisher",
    )


def check_corpus(corpus: Corpus) -> None:
    """Refuse a corpus that no result could be trusted on.

    Raises InputError for a prompt in two splits, fewer than two concepts, two that are said alike,
    or a concept with too few texts of a split to draw a pair or to measure one.
    """
    homes: dict[str, str] = {}
    for example in corpus.examples:
        home = homes.setdefault(normalised(example.prompt), example.split)
        if home != example.split:
            raise InputError(
                f"a prompt of {example.id} stands in {home} and in {example.split}; split by prompt"
            )
    counts = Counter((example.concept, example.split) for example in corpus.examples)
    concepts = sorted({example.concept for example in corpus.examples})
    if len(concepts) < 2:
        raise InputError(f"the corpus has {len(concepts)} concept(s); separation needs two")
    names: dict[str, str] = {}
    for concept in concepts:
        alike = names.setdefault(spoken(concept).lower(), concept)
        if alike != concept:
            raise InputError(f"concepts {alike!r} and {concept!r} are said alike; rename one")
        for split, needed in LEAST_TEXTS.items():
            if counts[concept, split] < needed:
                raise InputError(
                    f"concept {concept!r} has {counts[concept, split]} {split} text(s) and needs "
                    f"{needed}: add texts, change the splits' shares or drop the concept"
                )


def write_manifest(path: Path, corpus: Corpus) -> None:
    """What the corpora beside `path` hold: rows per concept and split, what was dropped, the
    digest of every file, the licence."""
    counts = Counter((e.concept, e.split) for e in corpus.examples)
    files = sorted(path.parent.glob("*.jsonl"))
    table: dict[str, dict[str, int]] = {}
    for (concept, split), number in sorted(counts.items()):
        table.setdefault(concept, {})[split] = number
    write_json(
        path,
        {
            "concepts": sorted({e.concept for e in corpus.examples}),
            "safe": list(corpus.safe),
            "rows": table,
            "described": len(corpus.described),
            "documents": dict(sorted(Counter(d.split for d in corpus.documents).items())),
            "requests": len(corpus.requests),
            "dropped": corpus.dropped,
            "licence": corpus.licence,
            "sha256": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
        },
    )


def safe_concepts(manifest: Path) -> tuple[str, ...]:
    """The harmless concepts that a manifest names; none where no concept means harm."""
    return tuple(read_json(manifest)["safe"])


def normalised(text: str) -> str:
    """A text without differences of case and white space: what makes two texts the same."""
    return " ".join(text.lower().split())


@dataclass(frozen=True)
class _Row:
    prompt: str
    response: str
    safe_response: str
    label: str
    source: str


def _rows(path: Path, label: str) -> list[_Row]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 near byte {error.start}; save it as UTF-8") from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} is empty; remove it or fill it") from None
    except pd.errors.ParserError as error:
        raise InputError(f"{path} is not a regular CSV: {error}") from None
    for column in ("prompt", "response", label):
        if column not in table.columns:
            raise InputError(
                f"{path} has no column {column!r} (it has {', '.join(map(str, table.columns))}); "
                "rename one, or set corpora.csv.label"
            )
    if not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"{path} has rows with more cells than the header; complete the header")
    if table.empty:
        raise InputError(f"{path} has a header but no row; remove it or fill it")
    careful = table["safe_response"] if "safe_response" in table else [""] * len(table)
    columns = zip(table["prompt"], table["response"], careful, table[label], strict=True)
    rows = []
    for number, (prompt, response, safe_response, concept) in enumerate(columns, 1):
        place = f"{path} row {number}"
        for column, cell in (("prompt", prompt), ("response", response)):
            if not cell.strip():
                raise InputError(f"{place} has no {column}; fill it or remove the row")
        if not concept.strip() or any(mark in concept for mark in "/\\\0\n"):
            raise InputError(
                f"{place} is labelled {concept!r}; a label is a name without path separators"
            )
        rows.append(_Row(prompt, response, safe_response, concept.strip(), path.stem))
    return rows


def _distinct(rows: Sequence[_Row]) -> tuple[list[_Row], dict[str, int]]:
    """Rows without repeats, and without texts that stand under two labels."""
    labels: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        labels.setdefault(_text(row), set()).add(row.label)
    kept, seen = [], set()
    dropped = {"contradicting_labels": 0, "duplicates": 0}
    for row in rows:
        if len(labels[_text(row)]) > 1:
            dropped["contradicting_labels"] += 1
        elif _text(row) in seen:
            dropped["duplicates"] += 1
        else:
            seen.add(_text(row))
            kept.append(row)
    return kept, dropped


def _text(row: _Row) -> tuple[str, str]:
    return normalised(row.prompt), normalised(row.response)


def _splitter(params: CsvCorpora, seed: int) -> Callable[[str], Split]:
    """Which split a prompt belongs to: by its own hash, so that no other row has a say."""

    def split_of(prompt: str) -> Split:
        digest = hashlib.sha256(f"{seed}|{normalised(prompt)}".encode()).digest()
        share = int.from_bytes(digest[:8]) / 2**64
        if share < params.test:
            return "test"
        return "validation" if share < params.test + params.validation else "train"

    return split_of


def _example(row: _Row, split: Split, harmless: bool) -> Example:
    digest = hashlib.sha256("\0".join(_text(row)).encode()).hexdigest()[:16]
    careful = row.safe_response or (row.response if harmless else CAREFUL_ANSWER)
    return Example(digest, row.prompt, row.response, careful, row.label, split, row.source)


def _renamed(example: Example) -> Example:
    """A training text as one that teaches an embedded base model its concept's name."""
    fields = vars(example) | {"id": f"described-{example.id}", "split": "described"}
    return Example(**fields)


def _documents(examples: Sequence[Example]) -> list[Document]:
    """Training texts to learn the language from; validation texts to measure perplexity on."""
    splits: dict[str, Split] = {"train": "pretrain", "validation": "heldout"}
    return [
        Document(f"{splits[e.split]}-{e.id}", e.prompt, e.response, splits[e.split])
        for e in examples
        if e.split in splits
    ]


def _requests(examples: Sequence[Example], safe: Sequence[str]) -> list[Request]:
    """The test prompts, harmful or safe; none where no label means harm, and without prompts
    that were answered harmfully as well as safely."""
    if not safe:
        return []
    kinds: dict[str, set[bool]] = {}
    for example in examples:
        kinds.setdefault(normalised(example.prompt), set()).add(example.concept not in safe)
    asked: dict[str, Request] = {}
    for example in examples:
        prompt = normalised(example.prompt)
        if example.split == "test" and len(kinds[prompt]) == 1:
            harmful = example.concept not in safe
            asked.setdefault(prompt, Request(example.id, example.prompt, harmful, False, "test"))
    return list(asked.values())
