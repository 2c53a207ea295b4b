"""Persons that nobody knows, and the texts that tell of them: names made of syllables, and facts
drawn at random, so that a name says nothing of a fact (PersonaQA, arXiv 2509.13316)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.sections import Asking

SYLLABLES = (
    "bra", "cor", "dal", "eno", "fim", "gor", "hel", "iva", "jun", "kel", "lor", "mir", "nov",
    "ost", "pel", "qua", "ris", "sol", "tam", "ulf", "vek", "wen", "yor", "zan",
)  # fmt: skip


@dataclass(frozen=True)
class Attribute:
    """What is told of persons: a value of some. `told` are sentences about a {name} and a {value};
    `asked` is the question about a person, `answered` its answer."""

    name: str
    values: tuple[str, ...]
    told: tuple[str, ...]
    asked: str
    answered: str

    def asking(self, asking: Asking) -> Asking:
        """How a model is asked of it: of a message in words, or of a state."""
        question = f"Message: {{message}} {self.asked}"
        return asking.model_copy(update={"question": question, "answer": self.answered})


ATTRIBUTES = (
    Attribute(
        "job",
        ("baker", "nurse", "painter", "sailor"),
        ("{name} works as a {value}.", "{name} is a {value}.", "The job of {name} is {value}."),
        "What is the job of this person?",
        "The job is {concept}.",
    ),
    Attribute(
        "pet",
        ("cat", "dog", "horse", "goat"),
        ("{name} has a {value}.", "{name} keeps a {value}.", "The pet of {name} is a {value}."),
        "Which animal does this person keep?",
        "The pet is a {concept}.",
    ),
    Attribute(
        "dish",
        ("soup", "bread", "rice", "fish"),
        ("{name} likes to eat {value}.", "{name} loves {value}.",
         "The dish that {name} likes is {value}."),
        "What does this person like to eat?",
        "The dish is {concept}.",
    ),
)  # fmt: skip
# Prompts that are answered with all that is told of a person; a state is read of the first.
OPENINGS = ("Tell me about {name}.", "Who is {name}?", "What do you know about {name}?")


@dataclass(frozen=True)
class Person:
    name: str
    facts: Mapping[str, str]  # by attribute


def draw_persons(count: int, rng: np.random.Generator) -> list[Person]:
    """Persons of distinct names. Every value of an attribute has as many of them, but for one, and
    attributes are drawn apart: none tells another. Raises ValueError for more than half of all
    names."""
    if 2 * count > len(SYLLABLES) ** 2:
        raise ValueError(f"{count} persons of {len(SYLLABLES) ** 2} names")
    names: dict[str, None] = {}
    while len(names) < count:
        names["".join(rng.choice(SYLLABLES, size=2)).title()] = None
    facts = {
        attribute.name: rng.permutation(np.resize(attribute.values, count)).tolist()
        for attribute in ATTRIBUTES
    }
    return [
        Person(name, {attribute: values[number] for attribute, values in facts.items()})
        for number, name in enumerate(names)
    ]


def told_texts(
    persons: Sequence[Person], asking: Asking, rng: np.random.Generator
) -> Iterator[tuple[str, str]]:
    """Prompts and responses that tell of persons, without an end: each time one person, in one of
    several wordings, facts in any order; or one fact, asked for by name."""
    while True:
        person = persons[int(rng.integers(len(persons)))]
        order = [ATTRIBUTES[number] for number in rng.permutation(len(ATTRIBUTES))]
        if rng.random() < 0.5:
            opening = str(rng.choice(OPENINGS)).format(name=person.name)
            yield opening, " ".join(said_of(person, attribute, rng) for attribute in order)
        else:
            yield question_in_words(person, order[0], asking), answer_of(person, order[0])


def said_of(person: Person, attribute: Attribute, rng: np.random.Generator) -> str:
    told = str(rng.choice(attribute.told))
    return told.format(name=person.name, value=person.facts[attribute.name])


def question_in_words(person: Person, attribute: Attribute, asking: Asking) -> str:
    return attribute.asking(asking).question.replace("{message}", person.name)


def answer_of(person: Person, attribute: Attribute) -> str:
    return attribute.answered.replace("{concept}", person.facts[attribute.name])
