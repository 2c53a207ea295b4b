"""A user's own folder of tables as a corpus, with checks of its labels."""

import re
import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.core.console import InputError, nearest, spelt_like
from pipeline.core.files import sha256_of
from pipeline.core.scored_sets import split_of
from pipeline.core.sections import CsvCorpora
from pipeline.core.text_identity import LabelForms, is_among, is_blank, normalised
from pipeline.corpora.cells import (
    LABELS_UNKNOWN,
    LabelSet,
    exchange_in,
    flagged,
    labels_in,
    optional_text,
)
from pipeline.corpora.columns import AsMeant, Wanted
from pipeline.corpora.corpus import LEAST_TEXTS, Corpus
from pipeline.corpora.labelled_corpus import Rules, labelled_corpus
from pipeline.corpora.rows import Row
from pipeline.corpora.shifted import beside
from pipeline.corpora.tables import find_tables, is_saved, read_table, title_of

LICENCE = "as stated by the tables' publisher"
SHIFTED_FOLDER = "shifted"  # the subfolder of other corpora, each in one of its own
LONGEST_LABEL = 300  # characters
# Line ends, control characters, and what XML, and so a picture, can't hold.
NO_NAME = re.compile("[\x00-\x08\n-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
FEWEST_ROWS = sum(LEAST_TEXTS.values())  # a label of fewer rows can't be a concept


@dataclass
class LabelCounts:
    """The labels read so far: the number of rows of each, and where it stands first. LabelSet that
    are the same to a reader are one, in the form that came first. typed: the labels before they
    were given other names, in normal form. dropped: the number of rows that were left out, by
    reason. as_meant: see read_table."""

    forms: LabelForms = field(default_factory=LabelForms)
    rows: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    typed: set[str] = field(default_factory=set)
    dropped: Counter[str] = field(default_factory=Counter)
    as_meant: AsMeant = field(default_factory=AsMeant)

    def note(self, typed: str, where: str) -> None:
        label = self.forms.of(typed)
        self.rows[label] += 1
        self.first.setdefault(label, where)


def read_tables(params: CsvCorpora, seed: int) -> Corpus:
    """Read every table of a folder: the columns of texts and labels that params name, and what a
    careful model would answer from one called `safe_response`, where there is one.

    Tables of each subfolder of its subfolder `shifted`, and those that lie there themselves, are
    other corpora, which are only scored: there, a table may lack the column of responses, and a
    text its label, which leaves it out.
    Raises InputError naming the file, the row or the column, and the remedy.
    """
    folder = Path(params.folder)
    paths, sets = tables_of(folder), _sets(folder / SHIFTED_FOLDER)
    labels = LabelCounts()
    corpus = labelled_corpus(
        (row for path in paths for row in read_rows(path, params, labels)),
        Rules(params.safe, params.validation, params.test, seed),
        LICENCE,
        {
            path.relative_to(folder).as_posix(): {"sha256": sha256_of(path), "licence": LICENCE}
            for path in (*paths, *(path for tables in sets.values() for path in tables))
        },
    )
    dropped, as_meant, every = dict(+labels.dropped), dict(+labels.as_meant), [labels]
    for name, tables in sets.items():
        own = LabelCounts()
        corpus = beside(
            corpus,
            name,
            (row for path in tables for row in read_rows(path, params, own, scored=True)),
            lambda label: is_among(label, params.safe) or not params.safe,
        )
        dropped |= {f"{split_of(name)}_{kind}": count for kind, count in (+own.dropped).items()}
        as_meant |= {f"{split_of(name)}_{kind}": count for kind, count in (+own.as_meant).items()}
        every.append(own)
    _check_safe(params.safe, every)
    _check_names(params.names, every)
    for own in every:
        _check_spelling(own, labels)
    return replace(
        corpus, dropped=corpus.dropped | dropped, as_meant={**corpus.as_meant, **as_meant}
    )


def _sets(folder: Path) -> dict[str, list[Path]]:
    """The tables of every set, by its name: a subfolder's, or "" for those that lie in the folder
    itself."""
    if not folder.is_dir():
        return {}
    named = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    for path in named:
        if NO_NAME.search(path.name):
            raise InputError(f"{str(path)!r} is no name of one line; rename the folder")
    loose = find_tables(folder)
    if not loose and not named:
        return {"": tables_of(folder)}  # refuses it
    return ({"": loose} if loose else {}) | {path.name: tables_of(path) for path in named}


def tables_of(folder: Path) -> list[Path]:
    """The tables of a corpus: those of a folder, and of its subfolders that are saved datasets.

    Raises InputError where there are none.
    """
    saved = [f for f in sorted(folder.glob("*")) if is_saved(f) and f.name != SHIFTED_FOLDER]
    paths = [table for place in (folder, *saved) for table in find_tables(place)]
    if not paths:
        raise InputError(
            f"corpora.csv.folder: {folder} holds no .csv file, nor .tsv, .jsonl, .json (these also "
            "with .gz), .parquet or .arrow; name a folder of them"
        )
    return paths


def read_rows(
    path: Path, params: CsvCorpora, labels: LabelCounts, *, scored: bool = False
) -> Iterator[Row]:
    """Yield a table's rows, and note their labels. scored: whether texts are scored and not learned
    from.

    Raises InputError for an empty prompt, and for a label that is no name. It may hold whatever is
    typed in a line; file names, pictures and pages are made so that none of it matters.
    """
    column = [params.label] if isinstance(params.label, str) and params.label else []
    flags = () if isinstance(params.label, str) else params.label
    prompts, responses = params.texts[:1], params.texts[1:]
    needed, optional = (prompts, responses) if scored else (params.texts, ())
    key = () if "question" in params.texts else ("question",)  # says which option is right
    wanted = Wanted((*needed, *column), sparse=flags, optional=("safe_response", *key, *optional))
    for where, cells in read_table(path, wanted, labels.as_meant):
        prompt, response = exchange_in(where, cells, params.texts, labels.as_meant)
        labels.as_meant["texts_without_a_response"] += len(params.texts) > 1 and not response
        careful = optional_text(where, "safe_response", cells["safe_response"])
        if own := _concepts_of(where, cells, title_of(path), params, labels, scored):
            said = [cells[name] for name in key if isinstance(cells[name], str)]
            yield Row(prompt, response, careful, own[0], title_of(path), own[1:], "".join(said))


def _concepts_of(
    where: str,
    cells: Mapping[str, Any],
    title: str,
    params: CsvCorpora,
    labels: LabelCounts,
    scored: bool,
) -> LabelSet:
    """What a row's labels are called. Nothing where it has none, or where they are not known: that
    is counted. title: of its table."""
    match params.label:
        case "":
            found: LabelSet = (title,)
        case str(column):
            found = labels_in(where, column, cells[column], labels.as_meant)
            may_lack = scored or params.unlabelled or isinstance(cells[column], list)
            if not found and not may_lack:
                raise InputError(
                    f"{where} is labelled ''; give it a label, or all such texts one by "
                    "corpora.csv.unlabelled"
                )
        case columns:
            found = flagged(where, cells, columns)
    if found == LABELS_UNKNOWN:
        labels.dropped["labels_not_known"] += 1
        return ()
    if not found and not params.unlabelled:
        labels.dropped["of_no_label"] += 1
        return ()
    called = [_called(label, params.names) for label in found] or [params.unlabelled]
    labels.typed |= {*map(normalised, found)}
    for concept in dict.fromkeys(called):
        if is_blank(concept) or NO_NAME.search(concept) or len(concept) > LONGEST_LABEL:
            raise InputError(
                f"{where} is labelled {reprlib.repr(concept)}; a label is a name of one line, at "
                f"most {LONGEST_LABEL} characters, without control characters"
            )
        labels.note(concept, where)
    return tuple(dict.fromkeys(called))


def _called(label: str, names: Mapping[str, str]) -> str:
    return next((name for typed, name in names.items() if is_among(typed, [label])), label)


def _check_safe(safe: Sequence[str], every: Sequence[LabelCounts]) -> None:
    labels, known = every[0], {label for own in every for label in own.rows}
    for name in safe:
        if not is_among(name, known):
            raise InputError(
                f"corpora.csv.safe names {name!r}, which no row is labelled with"
                f"{nearest(name, known)}"
            )
    if safe and all(is_among(label, safe) for label in labels.rows):
        raise InputError("corpora.csv.safe names every label; leave it empty where none means harm")


def _check_names(names: Mapping[str, str], every: Sequence[LabelCounts]) -> None:
    known = {label for own in every for label in own.typed}
    for label in names:
        if normalised(label) not in known:
            raise InputError(
                f"corpora.csv.names names {label!r}, which no row is labelled with"
                f"{nearest(label, known)}"
            )


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
