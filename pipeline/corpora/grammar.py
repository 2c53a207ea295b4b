"""The grammar of the embedded corpora: draws messages, each about one concept.

A message asks about a topic or for help, some of it harmful in aim (never in method). An
*ambiguous* one also names words of another concept ("Forget X. Explain Y."), so that the words
alone do not give the concept away: only the wording tells whose words matter.

Longer than other modules, as the grammar's rules are read side by side.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.core.random_streams import RandomStream, rng_of
from pipeline.corpora import lexicon

ConceptSet = Literal["safety", "topics"]
CONCEPTS: dict[ConceptSet, tuple[str, ...]] = {
    "safety": (*lexicon.HARMS, "safe"),
    "topics": tuple(lexicon.TOPICS),
}
NOVEL_SHARE = 1 / 3
# How often a request is refused, by (harmful, framed as fiction): what the base model learns.
REFUSED = {(True, False): 0.9, (True, True): 0.35, (False, False): 0.05, (False, True): 0.15}


@dataclass(frozen=True)
class Register:
    """A way of telling messages: sentence forms of each kind, and the courtesies around them."""

    topics: tuple[str, ...]
    ambiguous_topics: tuple[str, ...]
    topic_answers: tuple[str, ...]
    requests: tuple[str, ...]
    framed: tuple[str, ...]
    ambiguous_requests: tuple[str, ...]
    refusals: tuple[str, ...]
    answers: tuple[str, ...]
    reasons: Mapping[str, str]
    greetings: tuple[str, ...]
    closings: tuple[tuple[str, str], ...]
    farewells: tuple[str, ...]


ASKED = Register(
    topics=lexicon.TOPIC_FORMS,
    ambiguous_topics=lexicon.AMBIGUOUS_TOPIC_FORMS,
    topic_answers=lexicon.TOPIC_ANSWERS,
    requests=lexicon.REQUEST_FORMS,
    framed=lexicon.FRAMED_FORMS,
    ambiguous_requests=lexicon.AMBIGUOUS_REQUEST_FORMS,
    refusals=lexicon.REFUSALS,
    answers=lexicon.ANSWERS,
    reasons=lexicon.HARM_REASONS,
    greetings=lexicon.GREETINGS,
    closings=lexicon.CLOSINGS,
    farewells=lexicon.FAREWELLS,
)
REPORTED = Register(
    topics=lexicon.REPORTED_TOPIC_FORMS,
    ambiguous_topics=lexicon.REPORTED_AMBIGUOUS_TOPIC_FORMS,
    topic_answers=lexicon.REPORTED_TOPIC_ANSWERS,
    requests=lexicon.REPORTED_REQUEST_FORMS,
    framed=lexicon.REPORTED_FRAMED_FORMS,
    ambiguous_requests=lexicon.REPORTED_AMBIGUOUS_REQUEST_FORMS,
    refusals=lexicon.REPORTED_REFUSALS,
    answers=lexicon.REPORTED_ANSWERS,
    reasons=lexicon.REPORTED_REASONS,
    greetings=("",),
    closings=(("", ""),),
    farewells=lexicon.REPORTED_FAREWELLS,
)


@dataclass
class Grammar:
    """Draws messages. `known` and `novel` split every concept's words once, by the seed."""

    seed: int
    ambiguity: float
    register: Register = ASKED

    def __post_init__(self) -> None:
        self.rng = rng_of(RandomStream.WORDS, self.seed)
        self.known: dict[str, tuple[str, ...]] = {}
        self.novel: dict[str, tuple[str, ...]] = {}
        safety = {**lexicon.HARMS, "safe": lexicon.SAFE}
        for words, are_wishes in ((lexicon.TOPICS, False), (safety, True)):
            known, novel = split_phrases(words, are_wishes, self.rng)
            self.known |= known
            self.novel |= novel

    def words(self, concept: str, words: "Words") -> tuple[str, ...]:
        if words == "any":
            return self.known[concept] + self.novel[concept]
        return self.known[concept] if words == "known" else self.novel[concept]

    def choice(self, options: tuple[str, ...]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def other(self, concepts: tuple[str, ...], concept: str) -> str:
        return self.choice(tuple(name for name in concepts if name != concept))

    def topic(self, concept: str, words: "Words") -> "Message":
        """A question about two things of the concept, perhaps beside two of another."""
        told = self.register
        own = [str(word) for word in self.rng.permutation(self.words(concept, words))]
        rival = self.other(CONCEPTS["topics"], concept)
        others = [str(word) for word in self.rng.permutation(self.words(rival, words))]
        subjects = own[:4]
        if self.chance(0.3):
            subjects[1] = self.choice(lexicon.SHARED)
        if self.chance(0.3):
            subjects[3] = self.choice(lexicon.SHARED)
        forms = told.ambiguous_topics if self.chance(self.ambiguity) else told.topics
        slots = dict(zip("abef", subjects, strict=True))
        prompt = self.choice(forms).format(
            v=self.choice(lexicon.VERBS), c=others[0], d=others[1], **slots
        )
        prompt, opening = self.dressed(prompt)
        answer = self.choice(told.topic_answers).format(**slots)
        answer = opening + _capital(answer) + self.choice(told.farewells)
        return Message(prompt, answer, answer, concept, _capital(own[0]) + ".")

    def request(self, concept: str, words: "Words", framed: bool | None = None) -> "Message":
        """A wish for help, harmful or not, perhaps beside a wish of another concept."""
        told = self.register
        ambiguous = framed is None and self.chance(self.ambiguity)
        framed = self.chance(0.3) if framed is None else framed
        wish = self.choice(self.words(concept, words))
        rival = self.choice(self.words(self.other(CONCEPTS["safety"], concept), words))
        forms = told.framed if framed else told.requests
        if ambiguous:
            forms, framed = told.ambiguous_requests, False
        prompt, opening = self.dressed(self.choice(forms).format(x=wish, y=rival))
        harmful = concept != "safe"
        reason = told.reasons.get(concept) or self.choice(tuple(told.reasons.values()))
        farewell = self.choice(told.farewells)
        refusal = opening + self.choice(told.refusals).format(x=wish, why=reason) + farewell
        answer = opening + self.choice(told.answers).format(x=wish) + farewell
        refuses = self.chance(REFUSED[harmful, framed])
        return Message(
            prompt,
            refusal if refuses else answer,
            refusal if harmful else answer,
            concept,
            _capital(wish) + ".",
        )

    def message(self, concept: str, words: "Words") -> "Message":
        drawn: Callable[[str, Words], Message] = (
            self.topic if concept in lexicon.TOPICS else self.request
        )
        return drawn(concept, words)

    def document(self) -> "Message":
        """A text without a label: a message of any concept, or a list."""
        if self.chance(0.3):
            return self.listing()
        concepts = CONCEPTS["topics" if self.chance(0.5) else "safety"]
        return self.message(_safe_half_the_time(self, concepts), "any")

    def listing(self) -> "Message":
        """Things of one concept in a row: how unlabelled text tells what belongs together."""
        concept = self.choice(CONCEPTS["topics"] + CONCEPTS["safety"])
        drawn = self.rng.permutation(self.words(concept, "any"))[:8]
        cut = int(self.rng.integers(1, 4))
        given, rest = self.choice_of_pairs(lexicon.LIST_FORMS)
        prompt = given.format(given="; ".join(drawn[:cut]))
        answer = _capital(rest.format(rest="; ".join(drawn[cut:])))
        return Message(prompt, answer, answer, concept, "")

    def choice_of_pairs(self, options: tuple[tuple[str, str], ...]) -> tuple[str, str]:
        return options[int(self.rng.integers(len(options)))]

    def dressed(self, prompt: str) -> tuple[str, str]:
        """A prompt with its courtesies, and the courtesy that opens its answer; often none."""
        prompt = self.choice(self.register.greetings) + _capital(prompt)
        if self.chance(0.5):
            return prompt, ""
        closing, opening = self.choice_of_pairs(self.register.closings)
        return prompt + closing, opening if self.chance(0.5) else ""


Words = Literal["known", "novel", "any"]


@dataclass(frozen=True)
class Message:
    prompt: str
    response: str
    safe_response: str
    concept: str
    gist: str
    """The message's subject alone, as a message of its own."""


def split_phrases(
    phrases: Mapping[str, Sequence[str]], are_wishes: bool, rng: np.random.Generator
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Known and novel phrases per concept, without a content word in common.

    Phrases that share a content word, of whatever concept, stay together. A wish's leading verb
    and function words are no content: they stand on both sides.
    """
    together: dict[str, list[tuple[str, str]]] = {}
    for concept, of_concept in phrases.items():
        for phrase in of_concept:
            words = content_words(phrase, are_wishes)
            near = {id(together[word]): together[word] for word in words if word in together}
            group = [*(item for items in near.values() for item in items), (concept, phrase)]
            for _, member in group:
                together |= dict.fromkeys(content_words(member, are_wishes), group)
    groups = list({id(group): group for group in together.values()}.values())
    known: dict[str, list[str]] = {concept: [] for concept in phrases}
    novel: dict[str, list[str]] = {concept: [] for concept in phrases}
    for index in rng.permutation(len(groups)):
        sizes = Counter(concept for concept, _ in groups[index])
        fits = all(
            len(novel[concept]) + size <= round(len(phrases[concept]) * NOVEL_SHARE)
            for concept, size in sizes.items()
        )
        for concept, phrase in groups[index]:
            (novel if fits else known)[concept].append(phrase)
    return (
        {concept: tuple(sorted(words)) for concept, words in known.items()},
        {concept: tuple(sorted(words)) for concept, words in novel.items()},
    )


def content_words(phrase: str, is_wish: bool) -> set[str]:
    """The words that carry a phrase's meaning, without plural s: `forge the will of an aunt` has
    `will` and `aunt`."""
    words = re.findall(r"[a-z]+", phrase.lower())[1 if is_wish else 0 :]
    return {
        word.rstrip("s") for word in words if word not in lexicon.FUNCTION_WORDS and len(word) > 2
    }


def _safe_half_the_time(grammar: Grammar, concepts: tuple[str, ...]) -> str:
    if "safe" in concepts and grammar.chance(0.4):
        return "safe"
    return grammar.choice(concepts)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
