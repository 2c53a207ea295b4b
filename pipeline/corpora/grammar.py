"""The grammar of the embedded corpora: draws messages, each about one concept.

A message asks about a topic or for help, some of it harmful in aim (never in method). An
*ambiguous* one also names words of another concept ("Forget X. Explain Y."), so that the words
alone do not give the concept away: only the wording tells whose words matter.

Longer than other modules, as the grammar's rules are read side by side.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pipeline.core.random_streams import RandomStream, rng_of
from pipeline.corpora import lexicon
from pipeline.corpora.novel_words import novel_phrases
from pipeline.corpora.registers import DIRECT, Register

ConceptSet = Literal["safety", "topics"]
CONCEPTS: dict[ConceptSet, tuple[str, ...]] = {
    "safety": (*lexicon.HARMS, "safe"),
    "topics": tuple(lexicon.TOPICS),
}
PHRASES = {**lexicon.TOPICS, **lexicon.HARMS, "safe": lexicon.SAFE}
# How often a request is refused, by (harmful, framed as fiction): what the base model learns.
REFUSED = {(True, False): 0.9, (True, True): 0.35, (False, False): 0.05, (False, True): 0.15}


@dataclass
class Grammar:
    """Draws messages, with `rng`. Of every concept's phrases, and of the reasons to refuse it, some
    are `novel`, by `seed`; the others are known."""

    seed: int
    ambiguity: float
    register: Register = DIRECT

    def __post_init__(self) -> None:
        self.rng = rng_of(RandomStream.WORDS, self.seed)
        reasons = {f"{harm}, reasons": said for harm, said in DIRECT.reasons.items()}
        self.novel = novel_phrases({**PHRASES, **reasons}, self.rng)

    def words(self, concept: str, words: "Words") -> tuple[str, ...]:
        """A concept's phrases."""
        return self.of_kind(PHRASES[concept], words)

    def reasons(self, concept: str, words: "Words") -> tuple[str, ...]:
        """Reasons to refuse a wish; of a safe one, those of any harm."""
        of = self.register.reasons
        return self.of_kind(of.get(concept) or sum(of.values(), ()), words)

    def of_kind(self, phrases: tuple[str, ...], words: "Words") -> tuple[str, ...]:
        if words == "any":
            return phrases
        return tuple(phrase for phrase in phrases if (phrase in self.novel) == (words == "novel"))

    def choice(self, options: tuple[str, ...]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def other(self, concepts: tuple[str, ...], concept: str) -> str:
        return self.choice(tuple(name for name in concepts if name != concept))

    def topic(self, concept: str, words: "Words") -> "Message":
        """A question about two things of the concept, perhaps beside two of another."""
        register = self.register
        own = [str(word) for word in self.rng.permutation(self.words(concept, words))]
        rival = self.other(CONCEPTS["topics"], concept)
        others = [str(word) for word in self.rng.permutation(self.words(rival, words))]
        subjects = own[:4]
        if self.chance(0.3):
            subjects[1] = self.choice(lexicon.SHARED)
        if self.chance(0.3):
            subjects[3] = self.choice(lexicon.SHARED)
        forms = register.ambiguous_topics if self.chance(self.ambiguity) else register.topics
        slots = dict(zip("abef", subjects, strict=True))
        prompt = self.choice(forms).format(
            v=self.choice(lexicon.VERBS), c=others[0], d=others[1], **slots
        )
        prompt, opening = self.dressed(prompt)
        answer = self.choice(register.topic_answers).format(**slots)
        answer = opening + _capital(answer) + self.choice(register.farewells)
        return Message(prompt, answer, answer, concept, _capital(own[0]) + ".")

    def request(self, concept: str, words: "Words", framed: bool | None = None) -> "Message":
        """A wish for help, harmful or not, perhaps beside a wish of another concept."""
        register = self.register
        ambiguous = framed is None and self.chance(self.ambiguity)
        framed = self.chance(0.3) if framed is None else framed
        wish = self.choice(self.words(concept, words))
        rival = self.choice(self.words(self.other(CONCEPTS["safety"], concept), words))
        forms = register.framed if framed else register.requests
        if ambiguous:
            forms, framed = register.ambiguous_requests, False
        prompt, opening = self.dressed(self.choice(forms).format(x=wish, y=rival))
        harmful = concept != "safe"
        reason = self.choice(self.reasons(concept, words))
        farewell = self.choice(register.farewells)
        refusal = opening + self.choice(register.refusals).format(x=wish, why=reason) + farewell
        answer = opening + self.choice(register.answers).format(x=wish) + farewell
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
        """Words of one concept in a row, from which a model learns that they belong together."""
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
    gist: str  # the subject alone, as a message of its own


def _safe_half_the_time(grammar: Grammar, concepts: tuple[str, ...]) -> str:
    if "safe" in concepts and grammar.chance(0.4):
        return "safe"
    return grammar.choice(concepts)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
