"""Which concepts a text names, as a reader of it would say: by their names, in any spelling."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import regex  # type: ignore[import-untyped]

from pipeline.core.text_identity import normalised

LISTED = regex.compile(r"\s*[,;&|]\s*")  # parts of a label that lists what it covers
# What stands between the words of a name, in labels and in texts alike; nothing, too.
JOINT = regex.compile(r"[\s_\p{Pd}\u00b7]+")
JOINED = r"[\s_\p{Pd}\u00b7]*"
AND = r"(?:\s*(?:[,;&|/]|\band\b|\bor\b)\s*)+"
# Scripts that put no space between words: there, a name may stand next to any letter.
UNSPACED = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\u3005\u30fc"
)
IN_A_WORD = rf"[[\p{{L}}\p{{M}}\p{{N}}]--[{UNSPACED}]]"
# Korean particles are written at the end of the word that they belong to.
PARTICLE = (
    "(?:은|는|이|가|을|를|에|의|와|과|도|만|로|으로|에서|에게|이다|입니다|이나|나)"
    rf"(?!{IN_A_WORD})"
)
NEGATED = regex.compile(
    r"(?:(?<![\p{L}\p{M}])(?:non|not|never|un(?=\p{Pd}))|n't)"
    rf"(?:{JOINED}(?:really|quite|very|so|much|at all|about|of|a|an|the|any)(?![\p{{L}}\p{{M}}]))*"
    rf"{JOINED}$|(?:[非不无無未]|ไม่)$"
)
FREE = regex.compile(rf"\p{{Pd}}free(?!{IN_A_WORD})", regex.VERSION1)


def named_concepts(text: str, concepts: Sequence[str]) -> set[str]:
    """Which of the concepts a text names.

    Names are compared in normal form, whatever joins their words: "self-harm", "self harm" and
    "selfharm" name `self_harm`. A name must stand as a word of its own, in scripts that have
    spaces. One within a longer one ("safe" in "not safe", where both are concepts) does not count,
    nor one that is negated ("non-violent" is not violent). Of a label that lists what it covers
    (`drugs,weapons`), each part that no other label has is a name too.
    """
    found: set[str] = set()
    said = normalised(text).replace("\u2019", "'")
    pattern, meant = _names_of(tuple(concepts))
    for match in pattern.finditer(said):
        negated = NEGATED.search(said, 0, match.start()) or FREE.match(said, match.end())
        if not negated:
            found.add(meant[int(match.lastgroup[1:])])
    return found


def share_of_words_said(text: str, concept: str) -> float:
    """The share of a label's words that a text says, in any order and whatever else it says: in
    [0, 1]. Unlike `named_concepts`, it hears no "not". "and" and "or" are no words of a label."""
    parts = [word for part in LISTED.split(normalised(concept)) for word in JOINT.split(part)]
    words = [word for word in parts if word and word not in ("and", "or")] or [normalised(concept)]
    said = normalised(text)
    return sum(_pattern_of(word).search(said) is not None for word in words) / len(words)


def spelt_plainly(concept: str) -> str:
    """The same for two concepts whose names no text could tell apart."""
    name = normalised(concept)
    return JOINT.sub("", name) or name


@lru_cache(maxsize=256)
def _pattern_of(word: str) -> Any:
    return regex.compile(_spelling(word), regex.VERSION1)


@lru_cache(maxsize=64)
def _names_of(concepts: tuple[str, ...]) -> tuple[Any, list[str]]:
    """A pattern of all names, longest first, with a group for each; and the concepts that groups
    mean."""
    whole = [(normalised(concept), concept) for concept in concepts]
    known = {name for name, _ in whole}
    parts = [(part, c) for name, c in whole for part in {*LISTED.split(name)} if part not in known]
    of_one = [(p, c) for p, c in parts if p and sum(p == other for other, _ in parts) == 1]
    names = sorted((*whole, *of_one), key=lambda pair: (-len(JOINT.sub("", pair[0])), pair))
    spelt = "|".join(f"(?P<n{at}>{_spelling(name)})" for at, (name, _) in enumerate(names))
    return regex.compile(spelt, regex.VERSION1), [concept for _, concept in names]


def _spelling(name: str) -> str:
    """The pattern of a name in any spelling, as a word of its own."""
    parts = [
        JOINED.join(regex.escape(word, special_only=True) for word in JOINT.split(part) if word)
        for part in LISTED.split(name)
    ]
    spelt = AND.join(filter(None, parts)) or regex.escape(name, special_only=True)
    # `nonviolent` is non-violent, and not violent.
    spelt = regex.sub(r"^non(?=\p{L}{3})", lambda _: rf"non{JOINED}", spelt)
    spelt = regex.sub(
        rf"^(?:non|not){regex.escape(JOINED)}", lambda _: rf"(?:non|not){JOINED}", spelt
    )
    first, last = name[:1], name[-1:]
    before = rf"(?<!{IN_A_WORD})" if regex.match(IN_A_WORD, first, regex.VERSION1) else ""
    after = rf"(?!{IN_A_WORD})" if regex.match(IN_A_WORD, last, regex.VERSION1) else ""
    if regex.match(r"\p{Hangul}", last):
        after = f"(?:{after}|(?={PARTICLE}))"
    return f"{before}(?:{spelt}){after}"
