"""What the words alone give: asked and measured as the monitors are, without a model."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from pipeline.core.records import Example, ReadWords, Request
from pipeline.core.sections import Reading
from pipeline.monitors.text_baseline import NGRAMS, harm_in_words, text_only

WORDS = {"fraud": "forge cheque", "safe": "bake bread", "theft": "steal bike"}
READING = Reading(layer=1, position="last", neighbours=5, resamples=20, false_alarms=(0.05,))
FILLERS = ("now", "soon", "today", "later", "please", "again", "maybe", "well")


def example(concept: str, split: str, number: int, words: str = "") -> Example:
    rng = np.random.default_rng([number, len(split), len(concept)])
    said = " ".join(rng.choice(FILLERS, 4))
    prompt = f"{said} {words or WORDS[concept]} {number}"
    name = f"{split}-{concept}-{number}"
    return Example(name, prompt, f"{said} so", "no", concept, split, "t")  # type: ignore[arg-type]


def corpus() -> list[Example]:
    sizes = {"train": 12, "validation": 4, "test": 6, "shifted": 5}
    return [example(c, s, n) for s, count in sizes.items() for c in WORDS for n in range(count)]


REQUESTS = [
    Request(f"r{n}", f"{WORDS[('safe', 'theft')[n % 2]]} {n}", n % 2 == 1, n > 5, "test")
    for n in range(12)
]


def read(texts: Sequence[Example | Request], words: int) -> list[ReadWords]:
    """A model's reading whose tokens are words."""
    return [
        ReadWords(
            text.id,
            " ".join(text.prompt.split()[-words:]),
            " ".join(getattr(text, "response", "").split()[:words]),
        )
        for text in texts
    ]


def measured(examples: list[Example], words: int = 50, **update: Any) -> Any:
    fields: dict[str, Any] = {
        "requests": REQUESTS, "safe": ("safe",), "reading": READING, "seed": 0,
    }  # fmt: skip
    return text_only(read([*examples, *REQUESTS], words), examples, **fields | update)


def test_every_group_is_scored_for_every_question() -> None:
    tree = measured(corpus())
    assert set(tree) == {"concept", "harm"}
    for reading in ("prompt", "prompt_characters"):
        assert set(tree["harm"][reading]) == {"test", "shifted", "plain_test", "framed_test"}
    for question, reading in (("concept", "prompt"), ("concept", "whole"), ("harm", "whole")):
        assert set(tree[question][reading]) == {"test", "shifted"}
    for groups in tree["harm"].values():
        for found in groups.values():
            assert found["auroc"]["value"] > 0.8
            assert {"tpr", "fpr", "tpr_for_5_percent", "fpr_for_5_percent"} < set(found)
    assert tree["concept"]["whole"]["test"]["accuracy"]["low"] > 0.6


@pytest.mark.parametrize("ending", NGRAMS)
def test_scores_are_scikit_learns(ending: str) -> None:
    """The oracle, on words that say nothing certain."""
    noisy = [
        dataclasses.replace(e, prompt=" ".join(e.prompt.split()[: 5 + len(e.id) % 2]))
        for e in corpus()
    ]
    words = TfidfVectorizer(**NGRAMS[ending])
    train, test = ([e for e in noisy if e.split == split] for split in ("train", "test"))
    fitted = LogisticRegression(C=10, max_iter=1000).fit(
        words.fit_transform([e.prompt for e in train]), [e.concept != "safe" for e in train]
    )
    score = fitted.predict_proba(words.transform([e.prompt for e in test]))[:, 1]
    found = measured(noisy)["harm"][f"prompt{ending}"]["test"]["auroc"]
    assert found["value"] == pytest.approx(
        roc_auc_score([e.concept != "safe" for e in test], score)
    )
    assert found["low"] <= found["value"] <= found["high"]


def test_characters_find_words_in_other_forms() -> None:
    """`stealing` and `bikes` are no words of the training texts; their parts are."""
    other = {"fraud": "forging cheques", "safe": "baking breads", "theft": "stealing bikes"}
    bent = [example(c, "shifted", n, words) for c, words in other.items() for n in range(9)]
    kept = [e for e in corpus() if e.split != "shifted"]
    found = measured([*kept, *bent])["concept"]
    words, characters = (found[name]["shifted"]["accuracy"]["value"] for name in
                         ("prompt", "prompt_characters"))  # fmt: skip
    assert characters > 0.9 > words


def test_shuffled_labels_show_nothing() -> None:
    rng = np.random.default_rng(0)
    every = [example(c, s, n) for s in ("train", "test") for c in WORDS for n in range(80)]
    every += [e for e in corpus() if e.split == "validation"]
    labels = rng.permutation([e.concept for e in every])
    shuffled = [dataclasses.replace(e, concept=str(c)) for e, c in zip(every, labels, strict=True)]
    tree = measured(shuffled)["harm"]
    for ending in NGRAMS:
        found = tree[f"whole{ending}"]["test"]["auroc"]
        assert found["value"] == pytest.approx(0.5, abs=0.15), found


def test_a_concept_that_was_never_learned_counts_for_harm_alone() -> None:
    strange = [example("embezzlement", "shifted", n, "steal cheque") for n in range(4)]
    before, after = (measured(every) for every in (corpus(), [*corpus(), *strange]))
    assert after["concept"] == before["concept"]
    assert after["harm"]["whole"]["shifted"] != before["harm"]["whole"]["shifted"]
    assert after["harm"]["whole"]["test"] == before["harm"]["whole"]["test"]
    assert after["harm"]["whole"]["shifted"]["auroc"]["value"] > 0.8


def test_a_set_of_prompts_alone_is_read_as_prompts() -> None:
    own = [dataclasses.replace(e, split="shifted/asked", response="", id=f"asked-{e.id}")
           for e in corpus() if e.split == "test"]  # fmt: skip
    before, after = measured(corpus()), measured([*corpus(), *own])
    for question in after:
        for ending in NGRAMS:
            groups = after[question][f"prompt{ending}"]
            assert groups.pop("shifted/asked") == groups["test"]
    assert after == before


def test_the_judge_reads_no_further_than_the_states_it_is_asked_instead_of() -> None:
    """An answer that gives harm away is seen at the answer's end, and not at the prompt's."""
    blind = [dataclasses.replace(e, prompt="so it is") for e in corpus()]
    told = [dataclasses.replace(e, response=WORDS[e.concept]) for e in blind]
    for examples, position, sees in ((told, "last", True), (told, "prompt_end", False),
                                     (blind, "last", False)):  # fmt: skip
        found = harm_in_words(read(examples, 50), examples, ("safe",), position)
        harmful, safe = (
            [found[e.id] for e in examples if (e.concept == "safe") == is_safe]
            for is_safe in (False, True)
        )
        assert (min(harmful) > max(safe)) == sees, (position, sees)
    assert harm_in_words(read(told, 50), told, (), "last") == {}


@pytest.mark.parametrize("safe", [(), tuple(WORDS)], ids=["none", "all"])
def test_without_both_kinds_harm_is_not_asked(safe: tuple[str, ...]) -> None:
    assert set(measured(corpus(), safe=safe)) == {"concept"}


def test_no_more_is_read_than_the_model_reads() -> None:
    """A prompt's last tokens and a response's first: two of these say nothing of the concept."""
    for question, chance in (("concept", 1 / 3), ("harm", 2 / 3)):
        found = measured(corpus(), words=1)[question]["whole"]["test"]["accuracy"]
        assert found["value"] <= chance + 0.2


def test_texts_of_one_prompt_are_drawn_together() -> None:
    """Twice the same text is no more evidence than once."""
    once = [e for e in corpus() if e.split != "shifted"]
    hard = [dataclasses.replace(e, prompt=f"{e.prompt.split()[0]} {n}") if e.split == "test" else e
            for n, e in enumerate(once)]  # fmt: skip
    again = [dataclasses.replace(e, id=f"{e.id}-2") for e in hard if e.split == "test"]
    one, two = (measured(every)["harm"]["whole"]["test"] for every in (hard, hard + again))
    for name in ("auroc", "tpr", "accuracy"):
        assert one[name] == pytest.approx(two[name])
    assert one["accuracy"]["low"] < one["accuracy"]["high"]
