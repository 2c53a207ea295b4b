"""A label is anything that a person types in a line: pictures, files, pages and prints show it."""

import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from commands.start.corpus_tables import concepts_table, examples_table, summary
from pipeline.core.concepts import concepts_of, file_name_of, spoken
from pipeline.core.console import InputError
from pipeline.core.files import branch, read_json, write_json
from pipeline.core.records import Example, TokenInterpretation, read_records, write_records
from pipeline.core.representations import Representations
from pipeline.corpora.corpus import check_corpus, write_manifest
from pipeline.corpora.folder_corpus import LONGEST_LABEL, LabelCounts, read_rows
from pipeline.corpora.labelled_corpus import Rules, labelled_corpus
from pipeline.corpora.rows import Row
from pipeline.evaluation.separation import pairs_of_concepts
from pipeline.reporting import figures, interpretation_figures
from pipeline.reporting.evidence import evidence
from pipeline.reporting.picture_files import write_figures
from pipeline.reporting.redaction import Redaction
from pipeline.reporting.style import LONGEST_DRAWN, drawn_names, style
from pipeline.reporting.svg import alt_of
from tests.support.own_texts import csv_corpora

ODD = (
    "x--y", "--", "$", "cost $x {1$", "{", "{0} %s {concept}", "<b>&amp;</b>", "</title><script>",
    "a/b", "..", "a\\b", ".", "_x", "[/red]", ":fire:", "nan", "null", "'\"", "#", "safe.harm",
    "a,b", "漢字", "プライバシー", "שלום", "العنف", "ภาษาไทย", "हिंसा",
    "🙂 👩\u200d👩\u200d👧", "é", "x²", "a" * 300, "b" * 299 + "a",
)  # fmt: skip
SPLITS = ("train", "test", "novel")


def stored(concepts: tuple[str, ...]) -> Representations:
    labels = [concept for _ in SPLITS for concept in concepts for _ in range(2)]
    values = np.random.default_rng(0).normal(size=(1, 1, len(labels), 3)).astype(np.float32)
    splits = tuple(split for split in SPLITS for _ in range(2 * len(concepts)))
    names = tuple(map(str, range(len(labels))))
    return Representations(values, (0,), ("last",), names, tuple(labels), splits)


def separation(space: Representations) -> dict[str, Any]:
    """As the stage writes it and figures read it."""
    train, _ = space.at(0, "last", "train")
    pairs = pairs_of_concepts(train, space.at(0, "last", "test"), np.ones((11, len(train))))
    accuracy = {"value": 0.5, "low": 0.4, "high": 0.6}
    numbers = dict.fromkeys((*figures.ACCURACIES, *figures.OVER_LAYERS), accuracy)
    tree: dict[str, Any] = {"layer_0": {"last": {"test": numbers}}}
    for path, distances in pairs.items():
        leaf = branch(tree, ("pairs", "test", *path))
        leaf |= {name: found.as_tree() for name, found in distances.items()}
    return tree


def drawn(folder: Path, concepts: tuple[str, ...]) -> None:
    """Every picture that shows concepts."""
    space = stored(concepts)
    write_json(folder / "separation.json", separation(space))
    trees = {"base": read_json(folder / "separation.json")}
    words = {"concept": {"whole": {"test": {"accuracy": {"value": 0.5}}}}}
    read = {
        "base": [
            TokenInterpretation(concept, concept, 0, 0, concept, spoken(concept), (), (0.5,))
            for concept in concepts
        ]
    }
    with style():
        pictures = (
            figures.of_representations({"base": space}, 0, "last", 99, 0)
            | figures.of_separation(trees, words, ("base",), 0, "last")
            | interpretation_figures.of_tokens(read, concepts, Redaction())
        )
        write_figures(folder / "figures", pictures)


def test_pictures_show_any_label(tmp_path: Path) -> None:
    drawn(tmp_path, ODD)
    written = list((tmp_path / "figures" / "light").iterdir())
    for path in written:
        ET.parse(path)  # noqa: S314 - our own file
    assert all(spoken(concept) in alt_of(tmp_path / "figures/light/map.svg") for concept in ODD)
    shown = [p for pictures in evidence(tmp_path / "figures").values() for p in pictures]
    assert len(shown) == len(written)


def test_letters_that_our_font_lacks_are_text_for_a_font_of_the_readers(tmp_path: Path) -> None:
    drawn(tmp_path / "odd", ("漢字", "safe"))
    drawn(tmp_path / "plain", ("fraud", "safe"))
    odd, plain = (
        (tmp_path / name / "figures/light/map.svg").read_text("utf-8") for name in ("odd", "plain")
    )
    assert re.search("<text[^>]*>[^<]*漢字", odd)
    assert "<text" not in plain, "outlines are the same on machines with other fonts"


labels = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\u2029\ufffe\uffff"),
    min_size=1, max_size=30,
).map(str.strip).filter(bool)  # fmt: skip


@given(st.lists(labels, min_size=2, max_size=3, unique_by=lambda label: label.casefold()))
def test_pairs_of_concepts_come_back_from_their_file(tmp_path: Path, concepts: list[str]) -> None:
    tree = separation(stored(tuple(concepts)))["pairs"]["test"]
    write_json(tmp_path / "pairs.json", tree)
    read = read_json(tmp_path / "pairs.json")
    assert {frozenset((one, other)) for one in read for other in read[one]} == {
        frozenset((one, other)) for one in concepts for other in concepts
    }


@given(st.lists(labels | st.sampled_from(ODD), unique=True))
def test_every_concept_has_a_file_name_of_its_own(concepts: list[str]) -> None:
    names = [file_name_of(concept) for concept in concepts]
    assert len({*names}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,60}", name) for name in names)


def test_a_plain_label_is_its_own_file_name() -> None:
    assert [*map(file_name_of, ("self_harm", "law", "C-2"))] == ["self_harm", "law", "C-2"]


@given(st.lists(labels | st.text("ab", min_size=27, max_size=32), unique=True))
def test_names_in_pictures_are_short_and_none_twice(names: list[str]) -> None:
    short = drawn_names(names)
    assert [*short] == names
    assert len({*short.values()}) == len(names)
    assert all(len(own) <= LONGEST_DRAWN + 3 for own in short.values())
    assert all(short[name] == name for name in names if len(name) <= LONGEST_DRAWN)


def test_a_corpus_of_any_labels_is_gathered_written_and_printed(tmp_path: Path) -> None:
    rows = [Row(f"ask {label} {n}", f"say {n}", "", label, "t") for label in ODD for n in range(60)]
    corpus = labelled_corpus(rows, Rules((ODD[0],), 0.2, 0.3, 0), "ours")
    check_corpus(corpus)
    assert {*concepts_of(corpus.examples)} == {*ODD}
    write_records(tmp_path / "examples.jsonl", corpus.examples)
    assert read_records(tmp_path / "examples.jsonl", Example) == [*corpus.examples]
    write_manifest(tmp_path / "manifest.json", corpus, {"pairs": 0, "compared": 0,
                   "share_of_test": 0, "examples": []})  # fmt: skip
    manifest = read_json(tmp_path / "manifest.json")
    assert {*manifest["concepts"]} == {*ODD}
    out = io.StringIO()
    console = Console(file=out, width=4000, markup=False, emoji=False, highlight=False)
    console.print(concepts_table(manifest, corpus.examples, None))
    console.print(examples_table(corpus.examples, lambda _: True))
    console.print(summary(manifest)["Harmless concepts"])
    assert all(spoken(label) in out.getvalue() for label in ODD)


def rows_of(folder: Path, label: str) -> list[Row]:
    table = pd.DataFrame([{"prompt": "a", "response": "b", "concept": label}])
    table.to_csv(folder / "t.csv", index=False)
    return [*read_rows(folder / "t.csv", csv_corpora(folder), LabelCounts())]


@pytest.mark.parametrize("label", ODD)
def test_a_table_may_have_any_label(tmp_path: Path, label: str) -> None:
    assert [row.label for row in rows_of(tmp_path, label)] == [label]


@pytest.mark.parametrize("label", ["a\nb", "a\u2028b", "a\x07b", "a" * (LONGEST_LABEL + 1)])
def test_what_is_no_name_is_refused_in_one_line(tmp_path: Path, label: str) -> None:
    with pytest.raises(InputError, match=r"t.csv row 1 is labelled .*; a label is a name of") as no:
        rows_of(tmp_path, label)
    assert len(str(no.value).splitlines()) == 1
