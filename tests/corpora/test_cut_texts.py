"""Texts that the cut makes equal: none under two labels, none in two splits, each once."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.console import InputError
from pipeline.core.files import read_json, sha256_of
from pipeline.core.paths import BASE_MODEL, CORPORA, EXAMPLES, MANIFEST, READ_WORDS, REQUESTS
from pipeline.core.records import Example, ReadWords, Request, Split, read_records, write_records
from pipeline.core.sections import Text
from pipeline.corpora.corpus import Corpus, write_manifest
from pipeline.corpora.cut_texts import (
    ORDER,
    ReadText,
    check_enough,
    distinct_examples,
    distinct_requests,
)
from pipeline.models.encoding import Encoder
from stages import texts
from tests.support.tiny import tiny_tree, write_params

SPLITS: tuple[Split, ...] = ("train", "validation", "test", "novel", "shifted")


def example(name: str, concept: str, split: Split) -> Example:
    return Example(name, name, name, name, concept, split, "")


@st.composite
def corpora(draw: st.DrawFn) -> tuple[list[Example], list[ReadText]]:
    rows = draw(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.sampled_from(SPLITS), st.integers(0, 4),
                      st.integers(0, 2)), max_size=25,
        )
    )  # fmt: skip
    examples = [example(str(n), concept, split) for n, (concept, split, _, _) in enumerate(rows)]
    return examples, [ReadText((prompt,), (prompt, answer)) for _, _, prompt, answer in rows]


@given(corpora())
def test_what_is_kept_can_be_told_apart_and_the_rest_is_counted(
    corpus: tuple[list[Example], list[ReadText]],
) -> None:
    examples, read = corpus
    kept, dropped = distinct_examples(examples, read)
    of = {e.id: r for e, r in zip(examples, read, strict=True)}
    assert len(kept) + sum(dropped.values()) == len(examples)
    assert [e for e in examples if e in kept] == kept
    assert len({of[e.id].whole for e in kept}) == len(kept)
    homes: dict[tuple[int, ...], set[str]] = {}
    for e in kept:
        homes.setdefault(of[e.id].prompt, set()).add(e.split)
    assert all(len(splits) == 1 for splits in homes.values())
    # Nothing is dropped without a text that explains it.
    for e in set(examples) - set(kept):
        assert any(of[o.id].prompt == of[e.id].prompt for o in examples if o is not e)
    assert distinct_examples(kept, [of[e.id] for e in kept]) == (kept, {})


@given(corpora())
def test_another_corpus_takes_nothing_from_the_first(
    corpus: tuple[list[Example], list[ReadText]],
) -> None:
    pairs = list(zip(*corpus, strict=True))
    own = [(e, r) for e, r in pairs if e.split != "shifted"]
    alone, _ = distinct_examples([e for e, _ in own], [r for _, r in own])
    assert [e for e in distinct_examples(*corpus)[0] if e.split != "shifted"] == alone


@given(corpora())
def test_sets_take_nothing_from_each_other(
    corpus: tuple[list[Example], list[ReadText]],
) -> None:
    examples = [
        replace(e, split=f"shifted/{'ab'[n % 2]}") if e.split in ("novel", "shifted") else e
        for n, e in enumerate(corpus[0])
    ]
    kept = distinct_examples(examples, corpus[1])[0]
    pairs = list(zip(examples, corpus[1], strict=True))
    for absent in ("shifted/a", "shifted/b"):
        some = [(e, r) for e, r in pairs if e.split != absent]
        alone, _ = distinct_examples([e for e, _ in some], [r for _, r in some])
        assert [e for e in kept if e.split != absent] == alone


def test_by_hand() -> None:
    examples = [
        example("a", "x", "train"), example("b", "x", "test"), example("c", "y", "test"),
        example("d", "y", "test"), example("e", "x", "train"), example("f", "x", "shifted"),
        example("g", "y", "train"),
    ]  # fmt: skip
    read = [
        ReadText((1,), (1, 1)),
        ReadText((1,), (1, 2)),  # the prompt is trained on
        ReadText((2,), (2, 1)),
        ReadText((2,), (2, 2)),  # another answer to a prompt of its own split
        ReadText((3,), (3, 3)), ReadText((1,), (1, 1)), ReadText((3,), (3, 3)),
    ]  # fmt: skip
    kept, dropped = distinct_examples(examples, read)
    assert [e.id for e in kept] == ["a", "c", "d"]
    assert dropped == {"same_tokens_under_two_labels": 2, "same_tokens_in_two_splits": 2}


def test_requests_that_a_model_cannot_tell_apart() -> None:
    asked = [Request(name, name, name in "ac", False, "test") for name in "abcde"]
    read = [(1,), (1,), (2,), (3,), (3,)]
    assert [r.id for r in distinct_requests(asked, read, [])] == ["c", "d"]
    assert [r.id for r in distinct_requests(asked, read, [(2,)])] == ["d"]


def test_prompts_that_end_alike_are_one_when_they_are_cut(encoder: Encoder) -> None:
    """The model's own encoder: the last tokens of a prompt, the first of a response."""
    texts = [("once upon a time we ask", "yes"), ("never in the past we ask", "yes")]

    def read(most: int) -> list[ReadText]:
        cut = Encoder(encoder.tokenizer, Text(prompt_tokens=most, response_tokens=9))
        return [ReadText(t.ids[: t.prompt_end + 1], t.ids) for t in cut.texts(texts)]

    examples = [example("a", "x", "train"), example("b", "x", "test")]
    assert distinct_examples(examples, read(99)) == (examples, {})
    assert distinct_examples(examples, read(3)) == (examples[:1], {"same_tokens_in_two_splits": 1})


def test_too_few_are_refused_with_the_knob() -> None:
    texts = [example(f"{s}{n}", "x", s) for s in ("train", "validation", "test") for n in range(2)]
    check_enough(["x"], texts)
    with pytest.raises(InputError, match=r"'x' has 1 test text\(s\) and needs 2; .*prompt_tokens"):
        check_enough(["x"], texts[:-1])


def test_splits_are_in_the_order_in_which_they_keep_a_prompt() -> None:
    assert ORDER[: len(SPLITS)] == SPLITS


def test_the_stage_drops_counts_and_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: Encoder
) -> None:
    """One prompt on both sides of the cut, one safe and one harmful request of the same end."""
    monkeypatch.chdir(tmp_path)
    tree = tiny_tree()
    end = len(encoder.contents("Hello, train 0 of cats?")) - len(encoder.contents("Hello"))
    tree["text"] = {"prompt_tokens": end, "response_tokens": 9}
    write_params(Path("params.yaml"), tree)
    encoder.tokenizer.save_pretrained(BASE_MODEL)
    splits: dict[str, Split] = {"train": "train", "validation": "validation", "test": "test"}
    examples = [
        Example(f"{s}{c}{n}", f"Hello, {s} {n} of {c}?", c, c, c, split, "")
        for c in ("cats", "dogs") for s, split in splits.items() for n in range(4)
    ]  # fmt: skip
    leak = Example("leak", "Goodbye, train 0 of cats?", "no", "no", "cats", "test", "")
    asked = [
        Request("r1", "Goodbye, train 1 of cats?", True, False, "test"),
        Request("r2", "One, open this door of cats?", True, False, "test"),
        Request("r3", "Two, open this door of cats?", False, False, "test"),
        Request("r4", "Something", False, False, "test"),
    ]
    made = Corpus((*examples, leak), (), (), tuple(asked), (), {"duplicates": 1}, "free")
    write_records(CORPORA / "examples.jsonl", made.examples)
    write_records(CORPORA / "shifted.jsonl", made.shifted)
    write_records(CORPORA / "several.jsonl", made.several)
    write_records(CORPORA / "requests.jsonl", made.requests)
    write_records(CORPORA / "contrasts.jsonl", made.contrasts)
    write_manifest(CORPORA / "manifest.json", made, {})
    texts.main()
    told = read_json(MANIFEST)
    assert "leak" not in {e.id for e in read_records(EXAMPLES, Example)}
    assert [r.id for r in read_records(REQUESTS, Request)] == ["r4"]
    prompts = {e.id: e.prompt for e in read_records(EXAMPLES, Example)} | {"r4": "Something"}
    read = read_records(READ_WORDS, ReadWords)
    assert [words.id for words in read] == list(prompts)
    for words in read:
        assert encoder.contents(words.prompt) == encoder.contents(prompts[words.id])[-end:]
    assert told["dropped"]["duplicates"] == 1
    assert told["dropped"]["same_tokens_in_two_splits"] >= 1
    assert told["dropped"]["requests_of_same_tokens"] == 3
    kept = read_records(EXAMPLES, Example)
    assert sum(map(sum, (row.values() for row in told["rows"].values()))) == len(kept)
    assert told["sha256"]["examples.jsonl"] == sha256_of(EXAMPLES)
