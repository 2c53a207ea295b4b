"""Pairs: two different texts of one concept, from training texts alone, by the seed."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.console import InputError
from pipeline.core.records import Example
from pipeline.core.sections import Pairs
from pipeline.corpora.pairs import LABELLINGS, SAMPLINGS, draw_pairs

PARAMS = Pairs(count=120, whole=0.75, prompt_only=0.125, response_only=0.125)


def texts(sizes: dict[str, int], split: str = "train") -> list[Example]:
    return [
        Example(f"{split}-{name}-{n}", f"{name} {n}", "r", "s", name, split, "t")
        for name, size in sizes.items()
        for n in range(size)
    ]


CORPUS = texts({"a": 4, "b": 12, "c": 2}) + texts({"a": 9, "b": 9, "c": 9}, "test")
CONCEPT = {example.id: example.concept for example in CORPUS}


@given(st.integers(0, 1000), st.sampled_from(LABELLINGS), st.sampled_from(SAMPLINGS))
def test_never_a_text_with_itself_never_a_held_out_text(
    seed: int, labelling: str, sampling: str
) -> None:
    for pair in draw_pairs(CORPUS, labelling, sampling, PARAMS, seed):
        assert pair.first != pair.second
        assert pair.first.startswith("train")
        assert pair.second.startswith("train")


@given(st.integers(0, 1000), st.sampled_from(SAMPLINGS))
def test_given_labels_pair_texts_of_one_concept(seed: int, sampling: str) -> None:
    for pair in draw_pairs(CORPUS, "given", sampling, PARAMS, seed):
        assert CONCEPT[pair.first] == CONCEPT[pair.second] == pair.concept


def test_shuffled_labels_know_nothing_of_the_concepts() -> None:
    """The control: each text keeps one label, as often each, but unrelated to its concept."""
    corpus = texts({"a": 60, "b": 60, "c": 60})
    many = PARAMS.model_copy(update={"count": 3000})
    pairs = draw_pairs(corpus, "shuffled", "random", many, seed=0)
    labels: dict[str, set[str]] = {}
    for pair in pairs:
        for text in (pair.first, pair.second):
            labels.setdefault(text, set()).add(pair.concept)
    assert all(len(names) == 1 for names in labels.values())
    assert Counter(name for names in labels.values() for name in names) == {
        "a": 60,
        "b": 60,
        "c": 60,
    }
    right = sum(text.split("-")[1] in names for text, names in labels.items()) / len(labels)
    assert abs(right - 1 / 3) < 0.12


@pytest.mark.parametrize("start", [0, 7, 31])
def test_balanced_runs_hold_each_concept_equally_often(start: int) -> None:
    pairs = draw_pairs(CORPUS, "given", "balanced", PARAMS, seed=0)
    counts = Counter(pair.concept for pair in pairs[start * 3 : start * 3 + 9])
    assert set(counts.values()) == {3}


def test_random_draws_follow_the_texts() -> None:
    many = PARAMS.model_copy(update={"count": 6000})
    counts = Counter(p.concept for p in draw_pairs(CORPUS, "given", "random", many, seed=0))
    assert counts["b"] / counts["a"] == pytest.approx(3, rel=0.15)


def test_augmentation_has_its_shares() -> None:
    many = PARAMS.model_copy(update={"count": 6000})
    counts = Counter(p.augmentation for p in draw_pairs(CORPUS, "given", "random", many, seed=0))
    assert counts["whole"] / 6000 == pytest.approx(0.75, abs=0.03)
    assert counts["prompt"] / 6000 == pytest.approx(0.125, abs=0.02)


def test_seed_decides() -> None:
    one, two, three = (draw_pairs(CORPUS, "given", "random", PARAMS, seed) for seed in (0, 0, 1))
    assert one == two != three


def test_a_concept_with_one_text_is_refused() -> None:
    with pytest.raises(InputError, match="concept 'c' has one training text; a pair needs two"):
        draw_pairs(texts({"a": 3, "c": 1}), "given", "random", PARAMS, seed=0)


def test_lengths_are_a_concept_of_their_own() -> None:
    """The length control pairs short with short and long with long, in equal groups."""
    corpus = [
        Example(f"train-{n}", "x" * n, "r", "s", "ab"[n % 2], "train", "t") for n in range(40)
    ]
    for pair in draw_pairs(corpus, "length", "balanced", PARAMS, seed=0):
        halves = {int(text.removeprefix("train-")) // 20 for text in (pair.first, pair.second)}
        assert halves == {int(pair.concept.removeprefix("length_"))}
