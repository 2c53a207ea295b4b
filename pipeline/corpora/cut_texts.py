"""What the cut of long texts makes equal. A model reads the last tokens of a prompt and the first
of a response: texts that differ elsewhere are one text to it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipeline.core.console import InputError
from pipeline.core.records import EVERY_SPLIT, Example, Request
from pipeline.core.scored_sets import is_of_set
from pipeline.corpora.corpus import lacks

Key = TypeVar("Key")
Kind = TypeVar("Kind")
Tokens = tuple[int, ...]
ORDER = EVERY_SPLIT  # the earlier split keeps a prompt that two of them hold


@dataclass(frozen=True)
class ReadText:
    """A text as a model reads it: the tokens up to its prompt's end, and all of them."""

    prompt: Tokens
    whole: Tokens


def distinct_examples(
    examples: Sequence[Example], read: Sequence[ReadText]
) -> tuple[list[Example], dict[str, int]]:
    """The examples that a model can tell apart, in their order; how many were dropped, by reason.

    Texts of the same tokens under two labels are dropped. Where prompts of the same tokens stand in
    two splits, the later split loses its texts: what was trained on is not scored. Of other texts
    of the same tokens the first stays. Every set of shifted texts is another corpus: the first one
    loses nothing to it, nor do other sets.
    """
    texts = list(zip(examples, read, strict=True))
    labels = _kinds(((_corpus(e), r.whole), e.concepts) for e, r in texts)
    agreed = [(e, r) for e, r in texts if len(labels[_corpus(e), r.whole]) == 1]
    splits = _kinds((r.prompt, ORDER.index(e.split)) for e, r in agreed if not is_of_set(e.split))

    def has_its_prompt(example: Example, prompt: Tokens) -> bool:
        earliest = min(splits.get(prompt, {len(ORDER)}))
        return earliest == len(ORDER) or ORDER[earliest] == example.split

    parted = [(e, r) for e, r in agreed if has_its_prompt(e, r.prompt)]
    first: dict[tuple[str, Tokens], Example] = {}
    for example, tokens in parted:
        first.setdefault((_corpus(example), tokens.whole), example)
    kept = list(first.values())
    dropped = {
        "same_tokens_under_two_labels": len(texts) - len(agreed),
        "same_tokens_in_two_splits": len(agreed) - len(parted),
        "same_tokens": len(parted) - len(kept),
    }
    return kept, {reason: count for reason, count in dropped.items() if count}


def distinct_requests(
    requests: Sequence[Request], read: Sequence[Tokens], learned: Iterable[Tokens]
) -> list[Request]:
    """The requests that a model can tell apart, in their order: none that is harmful and safe to
    it, none whose tokens are a prompt that was trained or validated on, and each once."""
    kinds = _kinds(
        (tokens, request.harmful) for request, tokens in zip(requests, read, strict=True)
    )
    known, first = set(learned), dict[Tokens, Request]()
    for request, tokens in zip(requests, read, strict=True):
        if len(kinds[tokens]) == 1 and tokens not in known:
            first.setdefault(tokens, request)
    return list(first.values())


def check_enough(concepts: Iterable[str], examples: Sequence[Example]) -> None:
    """Refuse texts of which too few are left. Raises InputError with the remedy."""
    for lack in lacks(concepts, examples):
        raise InputError(
            f"{lack}; the others are the same as another text once they are cut: raise "
            "text.prompt_tokens or text.response_tokens, or add texts"
        )


def _corpus(example: Example) -> str:
    """The set that a text is of, or nothing: that of the first corpus."""
    return example.split if is_of_set(example.split) else ""


def _kinds(pairs: Iterable[tuple[Key, Kind]]) -> dict[Key, set[Kind]]:
    """What stands under every key."""
    found: dict[Key, set[Kind]] = {}
    for key, kind in pairs:
        found.setdefault(key, set()).add(kind)
    return found
