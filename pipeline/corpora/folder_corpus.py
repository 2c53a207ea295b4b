"""A user's own folder of tables as a corpus, with checks of its labels."""

import re
import reprlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.core.console import InputError, nearest, spelt_like
from pipeline.core.files import sha256_of
from pipeline.core.sections import CsvCorpora
from pipeline.core.text_identity import LabelForms, is_among, is_blank
from pipeline.corpora.columns import AsMeant, Wanted
from pipeline.corpora.corpus import LEAST_TEXTS, Corpus
from pipeline.corpora.labelled_corpus import Rules, labelled_corpus
from pipeline.corpora.rows import Row
from pipeline.corpora.shifted import beside
from pipeline.corpora.tables import find_tables, read_table

LICENCE = "as stated by the tables' publisher"
SHIFTED_FOLDER = "shifted"  # the subfolder of another corpus
LONGEST_LABEL = 300  # characters
# Line ends, control characters, and what XML, and so a picture, can't hold.
NO_NAME = re.compile("[\x00-\x08\n-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
FEWEST_ROWS = sum(LEAST_TEXTS.values())  # a label of fewer rows can't be a concept


@dataclass
class LabelCounts:
    """The labels read so far: the number of rows of each, and where it stands first. Labels that
    are the same to a reader are one, in the form that came first. as_meant: see read_table."""

    forms: LabelForms = field(default_factory=LabelForms)
    rows: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    as_meant: AsMeant = field(default_factory=AsMeant)

    def note(self, typed: str, where: str) -> None:
        label = self.forms.of(typed)
        self.rows[label] += 1
        self.first.setdefault(label, where)


def read_tables(params: CsvCorpora, seed: int) -> Corpus:
    """Read every CSV, TSV and JSONL table of a folder: `prompt`, `response` and the label.

    Tables of its subfolder `shifted`, where there is one, are another corpus, which is only scored.
    Raises InputError naming the file, the row or the column, and the remedy.
    """
    folder = Path(params.folder)
    paths, others = _tables(folder), []
    if (folder / SHIFTED_FOLDER).is_dir():
        others = _tables(folder / SHIFTED_FOLDER)
    labels, other_labels = LabelCounts(), LabelCounts()
    corpus = labelled_corpus(
        (row for path in paths for row in read_rows(path, params.label, labels)),
        Rules(params.safe, params.validation, params.test, seed),
        LICENCE,
        {
            path.relative_to(folder).as_posix(): {"sha256": sha256_of(path), "licence": LICENCE}
            for path in (*paths, *others)
        },
    )
    if others:
        corpus = beside(
            corpus,
            (row for path in others for row in read_rows(path, params.label, other_labels)),
            lambda label: is_among(label, params.safe) or not params.safe,
        )
    shifted = {f"shifted_{kind}": count for kind, count in (+other_labels.as_meant).items()}
    _check_safe(params.safe, labels, other_labels)
    _check_spelling(labels, labels)
    _check_spelling(other_labels, labels)
    return replace(corpus, as_meant={**corpus.as_meant, **+labels.as_meant, **shifted})


def _tables(folder: Path) -> list[Path]:
    paths = find_tables(folder)
    if not paths:
        raise InputError(
            f"corpora.csv.folder: {folder} holds no .csv file, nor .tsv or .jsonl; "
            "name a folder of them"
        )
    return paths


def read_rows(path: Path, label: str, labels: LabelCounts) -> Iterator[Row]:
    """Yield a table's rows, and note their labels.

    Raises InputError for an empty text, and for a label that is no name. It may hold whatever is
    typed in a line; file names, pictures and pages are made so that none of it matters.
    """
    wanted = Wanted(("prompt", "response", label), ("safe_response",), names=(label,))
    for where, cells in read_table(path, wanted, labels.as_meant):
        for column in ("prompt", "response"):
            if is_blank(cells[column]):
                raise InputError(f"{where} has no {column}; fill it or remove the row")
        concept = cells[label].strip()
        if is_blank(concept) or NO_NAME.search(concept) or len(concept) > LONGEST_LABEL:
            raise InputError(
                f"{where} is labelled {reprlib.repr(concept)}; a label is a name of one line, at "
                f"most {LONGEST_LABEL} characters, without control characters"
            )
        labels.note(concept, where)
        yield Row(cells["prompt"], cells["response"], cells["safe_response"], concept, path.stem)


def _check_safe(safe: Sequence[str], labels: LabelCounts, others: LabelCounts) -> None:
    known = labels.rows.keys() | others.rows.keys()
    for name in safe:
        if not is_among(name, known):
            raise InputError(
                f"corpora.csv.safe names {name!r}, which no row is labelled with"
                f"{nearest(name, known)}"
            )
    if safe and all(is_among(label, safe) for label in labels.rows):
        raise InputError("corpora.csv.safe names every label; leave it empty where none means harm")


def _check_spelling(labels: LabelCounts, known: LabelCounts) -> None:
    """Refuse a label that looks like a misspelt frequent one. Only labels that are too rare to be a
    concept are doubted."""
    frequent = [label for label, rows in known.rows.items() if rows >= FEWEST_ROWS]
    for label, rows in labels.rows.items():
        close = spelt_like(label, frequent)
        if rows < FEWEST_ROWS and close and not is_among(label, [close]):
            raise InputError(
                f"{labels.first[label]} is labelled {label!r}, as only {rows} row(s) are; "
                f"did you mean {close!r}? If not, add texts or remove them"
            )
