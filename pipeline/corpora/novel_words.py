"""Novel phrases of the embedded corpora: labelled texts have none of their content words."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pipeline.corpora import lexicon
from pipeline.corpora.registers import DIRECT

NOVEL_SHARE = 1 / 3
Phrases = Mapping[str, Sequence[str]]


def novel_phrases(lists: Phrases, rng: np.random.Generator) -> frozenset[str]:
    """About a third of each list's phrases, chosen at random, which share no content word with any
    other phrase of any list, nor with the sentences around them.

    lists: phrases by the name of their list. Phrases that share a content word stay together.
    """
    groups = _sharing_a_word(lists)
    left = {name: round(len(phrases) * NOVEL_SHARE) for name, phrases in lists.items()}
    around = words_of_sentences()
    novel: set[str] = set()
    for index in rng.permutation(len(groups)):
        sizes = Counter(name for name, _ in groups[index])
        phrases = [phrase for _, phrase in groups[index]]
        fits = all(size <= left[name] for name, size in sizes.items())
        if fits and not any(around & content_words(phrase) for phrase in phrases):
            novel |= {*phrases}
            left = {name: count - sizes[name] for name, count in left.items()}
    return frozenset(novel)


def _sharing_a_word(lists: Phrases) -> list[list[tuple[str, str]]]:
    """Phrases with the names of their lists, in groups without a content word in common."""
    together: dict[str, list[tuple[str, str]]] = {}
    for name, phrases in lists.items():
        for phrase in phrases:
            words = sorted(content_words(phrase))
            near = {id(together[word]): together[word] for word in words if word in together}
            group = [*(member for group in near.values() for member in group), (name, phrase)]
            for _, member in group:
                together |= dict.fromkeys(content_words(member), group)
    return list({id(group): group for group in together.values()}.values())


def words_of_sentences() -> set[str]:
    """The content words of the sentences that phrases stand in, whatever the concept."""
    sentences: Iterable[str] = (
        *DIRECT.topics, *DIRECT.ambiguous_topics, *DIRECT.topic_answers,
        *DIRECT.requests, *DIRECT.framed, *DIRECT.ambiguous_requests,
        *DIRECT.refusals, *DIRECT.answers, *DIRECT.greetings, *DIRECT.farewells,
        *(part for closing in DIRECT.closings for part in closing),
        *lexicon.VERBS, *lexicon.SHARED,
    )  # fmt: skip
    return {word for text in sentences for word in content_words(re.sub(r"{\w+}", "", text))}


def content_words(text: str) -> set[str]:
    """A text's words without function words and plural s: those of `sell the wills of an aunt` are
    `sell`, `will` and `aunt`."""
    words = re.findall(r"[a-z]+", text.lower())
    return {
        word.rstrip("s") for word in words if word not in lexicon.FUNCTION_WORDS and len(word) > 2
    }
