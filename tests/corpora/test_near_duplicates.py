"""Prompts in two splits: the same ones are refused, nearly the same ones are reported."""

import hashlib
import random
from collections.abc import Callable
from itertools import combinations, pairwise

import pytest

from pipeline.core.console import InputError
from pipeline.core.records import Example
from pipeline.core.text_identity import normalised
from pipeline.corpora import near_duplicates
from pipeline.corpora.corpus import Corpus, check_corpus
from pipeline.corpora.near_duplicates import LEAST_SIMILARITY, find_near_duplicates, jaccard

SPLITS = ("train", "validation", "test")
WORDS = ["".join(random.Random(n).choices("abcdefghijklmnop", k=7)) for n in range(2000)]


def text(prompt: str, split: str, concept: str = "a", answer: str = "r") -> Example:
    name = hashlib.sha256(f"{split} {concept} {prompt} {answer}".encode()).hexdigest()[:16]
    return Example(name, prompt, answer, answer, concept, split, "t")


def sentence(seed: int, words: int = 10) -> str:
    return " ".join(random.Random(seed).sample(WORDS, words))


def control() -> list[Example]:
    """Two concepts, three splits, and no two prompts alike."""
    return [
        text(sentence(n), split, concept)
        for n, (split, concept) in enumerate((s, c) for s in SPLITS for c in "ab" for _ in range(5))
    ]


def leaking(prompt: str) -> list[Example]:
    return [*control(), text(prompt, "test")]


def refused(examples: list[Example]) -> bool:
    try:
        check_corpus(Corpus(tuple(examples), (), (), (), (), {}, ""))
    except InputError:
        return True
    return False


def test_a_corpus_without_leaks_is_neither_refused_nor_reported() -> None:
    found = find_near_duplicates(control())
    assert not refused(control())
    assert (found.compared, found.pairs, found.share_of_test, found.examples) == (30, 0, 0.0, ())


def test_an_exact_leak_is_refused() -> None:
    assert refused(leaking(f"  {sentence(0).upper()} "))


@pytest.mark.parametrize(
    "changed",
    [
        lambda prompt: f"{prompt}!",
        lambda prompt: f"Please: {prompt}",
        lambda prompt: prompt.replace(prompt.split()[4], prompt.split()[4][:-1]),
        lambda prompt: " ".join(prompt.split()[:9]),
        lambda prompt: prompt.title(),
    ],
    ids=["a mark more", "a word more", "a slip", "a word less", "case"],
)
def test_a_near_duplicate_is_reported_and_not_refused(changed: Callable[[str], str]) -> None:
    original = control()[0]
    leak = leaking(changed(original.prompt) + ".")
    found = find_near_duplicates(leak)
    assert not refused(leak)
    assert found.pairs == 1
    assert found.share_of_test == 1 / 11
    ((one, other, similarity),) = found.examples
    assert {one, other} == {original.id, leak[-1].id}
    assert LEAST_SIMILARITY <= similarity < 1


def test_another_sentence_of_the_same_words_is_no_near_duplicate() -> None:
    words = sentence(0).split()
    assert find_near_duplicates(leaking(" ".join(words[::-1]))).pairs == 0
    assert (
        find_near_duplicates(leaking(" ".join([*words[:5], *sentence(99).split()[:5]]))).pairs == 0
    )


def test_a_split_may_repeat_itself() -> None:
    """And a prompt may have several answers: neither is a leak."""
    prompt = sentence(0)
    examples = [text(f"{prompt}{'!' * n}", "test", answer=a) for n in range(5) for a in "rs"]
    found = find_near_duplicates([*examples, text(sentence(1), "train")])
    assert (found.compared, found.pairs) == (6, 0)


def test_only_training_texts_leak_into_the_share_of_test() -> None:
    prompt = sentence(0)
    held_out = [text(prompt, "test"), text(f"{prompt}!", "validation")]
    assert find_near_duplicates(held_out).pairs == 1
    assert find_near_duplicates(held_out).share_of_test == 0
    assert find_near_duplicates([*held_out, text(f"{prompt}?", "train")]).share_of_test == 1


def test_shifted_prompts_leak_too() -> None:
    prompt = sentence(0)
    shifted = [text(prompt, "shifted"), text(sentence(1), "shifted")]
    found = find_near_duplicates(
        [*shifted, text(f"{prompt}!", "train"), text(f"{prompt}?", "test")]
    )
    assert found.pairs == 3
    assert (found.share_of_test, found.share_of_shifted) == (1, 0.5)
    assert refused([*control(), text(sentence(0), "shifted")])


def test_sets_that_are_only_scored_may_share_prompts() -> None:
    prompt = sentence(99)
    both = [text(prompt, "shifted/a"), text(prompt, "shifted/b"), text(f"{prompt}!", "shifted")]
    assert find_near_duplicates(both).pairs == 0
    assert not refused([*control(), *both])
    assert find_near_duplicates([*both, text(f"{prompt}?", "train")]).share_of_shifted == 1
    assert refused([*control(), text(sentence(0), "shifted/a")])


@pytest.mark.parametrize("examples", [[], [text("a", "test")], [text("", "test")]])
def test_nothing_to_compare(examples: list[Example]) -> None:
    assert find_near_duplicates(examples).pairs == 0


def test_short_prompts_are_alike_only_where_they_are_the_same() -> None:
    assert find_near_duplicates([text("ab", "test"), text("abc", "train")]).pairs == 0
    assert find_near_duplicates([text("ab", "test"), text("ab ", "train")]).pairs == 1


def chain(rng: random.Random) -> list[Example]:
    """Families of prompts, each a few letters away from the one before it."""
    examples = []
    for family in range(12):
        letters = list(sentence(rng.randrange(10**6), 12))
        for _ in range(6):
            for _ in range(rng.randrange(1, 6)):
                letters[rng.randrange(len(letters))] = rng.choice("xyz ")
            examples.append(text("".join(letters), rng.choice(SPLITS), str(family)))
    return examples


@pytest.mark.parametrize("seed", range(8))
def test_what_is_found_is_what_comparing_every_pair_finds(seed: int) -> None:
    """But for pairs near the threshold, of which the sketches may miss one in a hundred."""
    examples = chain(random.Random(seed))
    runs = {e.id: near_duplicates._runs(normalised(e.prompt)) for e in examples}
    every = {
        (one.id, other.id): jaccard(runs[one.id], runs[other.id])
        for one, other in combinations(examples, 2)
        if one.split != other.split
    }
    alike = {
        pair: similarity for pair, similarity in every.items() if similarity >= LEAST_SIMILARITY
    }
    sure = sum(similarity >= LEAST_SIMILARITY + 0.1 for similarity in alike.values())
    found = find_near_duplicates(examples)
    assert sure <= found.pairs <= len(alike)
    assert all(alike[one, other] == similarity for one, other, similarity in found.examples)
    similarities = [similarity for *_, similarity in found.examples]
    assert all(first >= second for first, second in pairwise(similarities))
    if similarities:
        assert similarities[0] == max(alike.values())


def test_the_same_examples_give_the_same_answer() -> None:
    examples = chain(random.Random(0))
    assert find_near_duplicates(examples) == find_near_duplicates(list(examples))
    assert find_near_duplicates(examples).pairs > 10


def test_a_template_makes_nothing_alike() -> None:
    """But what it is filled with does."""
    template = "Answer the following question, and say how sure you are of it: "
    examples = [text(f"{template}{e.prompt}", e.split, e.concept) for e in control()]
    assert jaccard(*(near_duplicates._runs(e.prompt) for e in examples[:2])) > 0.25
    assert find_near_duplicates(examples).pairs == 0
    short = [text(f"{template}{' '.join(e.prompt.split()[:2])}", e.split) for e in control()]
    assert jaccard(*(near_duplicates._runs(e.prompt) for e in short[:2])) > 0.6
    assert find_near_duplicates(short).pairs == 0
    leak = text(f"{examples[0].prompt}!", "test")
    assert find_near_duplicates([*examples, leak]).pairs == 1


def test_a_crowd_of_alike_prompts_is_counted_from_below(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that pairs grow with prompts, not with their square."""
    monkeypatch.setattr(near_duplicates, "FEW", 10**6)
    monkeypatch.setattr(near_duplicates, "CROWD", 4)
    prompt = sentence(0, 20)
    crowd = [text(f"{prompt} {n}", ("train", "test")[n % 2]) for n in range(100)]
    found = find_near_duplicates(crowd)
    assert 100 <= found.pairs < 100 * 5
    assert found.share_of_test > 0.9


def test_of_too_many_prompts_evenly_spaced_ones_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(near_duplicates, "MOST", 10)
    assert find_near_duplicates(control()).compared == 8
    monkeypatch.setattr(near_duplicates, "MOST", 30)
    assert find_near_duplicates(control()).compared == 15
    monkeypatch.setattr(near_duplicates, "MOST", 31)
    assert find_near_duplicates(control()).compared == 30


def test_a_prompt_of_more_runs_than_are_hashed_at_a_time() -> None:
    long = "".join(random.Random(0).choices("abcdefghij ", k=10**5))
    assert find_near_duplicates([text(long, "train"), text(f"{long}!", "test")]).pairs == 1


def test_similarity_worked_by_hand() -> None:
    """abcdef has the runs abcde and bcdef, xbcdef has xbcde and bcdef."""
    assert jaccard(near_duplicates._runs("abcdef"), near_duplicates._runs("xbcdef")) == 1 / 3
    assert near_duplicates._runs("ab") == {"ab"}
