"""A corpus is checked before it is written, and described by its manifest."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.core.console import InputError
from pipeline.core.files import read_json
from pipeline.core.records import Example
from pipeline.corpora.corpus import Corpus, check_corpus, write_manifest


def test_the_manifest_says_what_the_corpus_holds(tmp_path: Path) -> None:
    corpus = replace(corpus_of(*whole_corpus()), sources={"f": {"sha256": "1"}})
    (tmp_path / "examples.jsonl").write_bytes(b"texts")
    write_manifest(tmp_path / "manifest.json", corpus, {"pairs": 1, "examples": [("a", "b", 0.75)]})
    manifest = read_json(tmp_path / "manifest.json")
    assert manifest["rows"]["a"] == {"test": 2, "train": 2, "validation": 2}
    assert manifest["near_duplicates"] == {"pairs": 1, "examples": [["a", "b", 0.75]]}
    assert manifest["sources"] == {"f": {"sha256": "1"}}
    assert manifest["sha256"] == {"examples.jsonl": hashlib.sha256(b"texts").hexdigest()}


def text(prompt: str, concept: str, split: str) -> Example:
    return Example(f"{split}-{prompt}", prompt, "r", "s", concept, split, "t")


def corpus_of(*examples: Example) -> Corpus:
    return Corpus(examples, (), (), (), (), {}, "")


def whole_corpus() -> list[Example]:
    return [
        text(f"{concept} {split} {n}", concept, split)
        for concept in "ab" for split in ("train", "validation", "test") for n in range(2)
    ]  # fmt: skip


def test_a_whole_corpus_passes() -> None:
    check_corpus(corpus_of(*whole_corpus()))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda es: [*es, text("A  TRAIN 0", "a", "test")], "stands in train and in test"),
        (lambda es: [e for e in es if e.concept == "a"], "1 concept"),
        (lambda es: [e for e in es if e.prompt != "b train 0"], "'b' has 1 train text"),
        (
            lambda es: [e for e in es if (e.concept, e.split) != ("b", "test")],
            "'b' has 0 test text",
        ),
    ],
)
def test_a_corpus_that_no_result_could_be_trusted_on_is_refused(
    spoil: Callable[[list[Example]], list[Example]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_corpus(corpus_of(*spoil(whole_corpus())))
