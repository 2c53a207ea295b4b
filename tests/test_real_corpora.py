"""The texts of the study of pretrained models: every fold holds its own prompts."""

import csv
import random
from pathlib import Path

import pytest

from benchmarks.real_corpora import CORPORA, FOLDS, groups_of, read_folds, split_by
from benchmarks.real_measures import Fold, word_probe
from pipeline.core.console import InputError

WORDS = {"100": "garden bread letter window", "3": "hatred insult slur contempt"}


def write_tables(folder: Path) -> None:
    rng = random.Random(0)
    rows = []
    for number in range(120):
        label = ("100", "3")[number % 2]
        words = [*WORDS[label].split(), *(f"w{rng.randrange(10**6)}" for _ in range(4))]
        rng.shuffle(words)
        rows.append((" ".join(words), f"answer {number}", label))
    rows.append((rows[0][0] + "!", "another answer", "100"))  # nearly the first prompt
    rows += [("twice told", "one text", "3"), ("twice told", "one text", "100")]
    for file in CORPORA["beavertails"].files:
        path = folder / file
        path.parent.mkdir(parents=True)
        with path.open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([("prompt", "response", "category_id"), *rows])


def test_folds_hold_every_text_once_and_share_no_prompt(tmp_path: Path) -> None:
    write_tables(tmp_path)
    folds = read_folds(tmp_path, "beavertails")
    assert len(folds) == 121, "repeated texts once, and none that stands under two labels"
    by_prompt = {example.prompt: fold for example, fold in folds}
    first = next(prompt for prompt in by_prompt if prompt.endswith("!"))
    assert by_prompt[first] == by_prompt[first[:-1]]
    assert {e.concept for e, _ in folds} == {"safe", "discrimination"}
    tested = [
        example.id
        for test in range(FOLDS)
        for example in split_by(folds, test)
        if example.split == "test"
    ]
    assert sorted(tested) == sorted(example.id for example, _ in folds)
    with pytest.raises(InputError, match="is missing"):
        read_folds(tmp_path / "elsewhere", "beavertails")


def test_prompts_are_grouped_by_way_of_others() -> None:
    chain = ["abcdefghij" * 3, "abcdefghij" * 3 + "kl", "abcdefghij" * 3 + "klmn", "else entirely"]
    one, two, three, other = groups_of(chain)
    assert one == two == three != other


def test_words_alone_are_read_by_the_same_rule(tmp_path: Path) -> None:
    write_tables(tmp_path)
    fold = Fold(split_by(read_folds(tmp_path, "beavertails"), 0), ("safe",))
    found = word_probe(fold)
    assert found["correct"].count("0") == 0
