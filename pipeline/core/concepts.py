"""Concepts by name: those of a corpus, how they are said, and those that a text names."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from pipeline.core.files import read_json
from pipeline.core.naming import named_concepts
from pipeline.core.records import Example, Interpretation, Request, Split
from pipeline.core.sections import Asking
from pipeline.core.text_identity import normalised

LONGEST_NAME = 40  # letters of a label in the name of a file
Labelled = TypeVar("Labelled", Example, Interpretation)


def spoken(concept: str) -> str:
    """How a concept's label is said: `non_violent` is "non violent". One of marks alone is said as
    it stands."""
    return " ".join(concept.replace("_", " ").replace("-", " ").split()) or concept


def file_name_of(concept: str) -> str:
    """A part of a file's name for a concept, whatever its label holds: the label itself where it is
    plain, else what is plain in it and a digest, so that no two concepts share one."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", concept)[:LONGEST_NAME].strip("_")
    if plain == concept:
        return concept
    return f"{plain}.{hashlib.sha256(concept.encode()).hexdigest()[:8]}".lstrip(".")


def answer_about(asking: Asking, concept: str) -> str:
    """The whole answer that names a concept, to what a model is asked of a hidden state."""
    return asking.answer.replace("{concept}", spoken(concept))


def concepts_of(examples: Iterable[Example]) -> list[str]:
    """The concepts that texts have, sorted."""
    return sorted({example.concept for example in examples})


def balanced(texts: Sequence[Labelled], count: int) -> list[Labelled]:
    """At most `count` texts, taken from each concept in turn."""
    queues: dict[str, list[Labelled]] = {}
    for text in texts:
        queues.setdefault(text.concept, []).append(text)
    turns = zip_longest(*queues.values())
    return [text for turn in turns for text in turn if text is not None][:count]


def names_concept(interpretation: Interpretation, concepts: Sequence[str]) -> bool:
    """Whether a text names its state's concept, and no other of the concepts."""
    return named_concepts(interpretation.text, concepts) == {interpretation.concept}


def speaks_of_concept(interpretation: Interpretation, chosen: Mapping[str, str]) -> bool:
    """Whether the judge model chooses the concept of an interpreted state, and the interpretation
    says something at all. chosen: the chosen concept by text. Raises KeyError for a text that was
    not judged."""
    text = interpretation.text
    return says_something(text) and chosen[text] == interpretation.concept


def says_something(text: str) -> bool:
    """Whether there is a letter or a digit in a text."""
    return any(map(str.isalnum, text))


def concept_named(text: str, concepts: Sequence[str]) -> str | None:
    """The one concept that a text names; None where it names none or several."""
    found = named_concepts(text, concepts)
    return found.pop() if len(found) == 1 else None


def safe_concepts(manifest: Path) -> tuple[str, ...]:
    """The harmless concepts that a manifest names; none where no concept means harm."""
    return tuple(read_json(manifest)["safe"])


def answers_harmfully(example: Example, safe: Sequence[str]) -> bool:
    """Whether a text gives a harmful request what it asks for: a concept of it is harmful, and its
    response is not the careful one. Nothing does where no concept means harm (`safe` is empty)."""
    harmful = bool(safe) and any(concept not in safe for concept in example.concepts)
    return harmful and bool(example.response) and example.response != example.safe_response


def requests_of(examples: Sequence[Example], safe: Sequence[str], split: Split) -> list[Request]:
    """The prompts of a split as requests, each once. There are none where no label means harm.
    Prompts with harmful and with safe answers are left out."""
    if not safe:
        return []
    chosen = [example for example in examples if example.split == split]
    kinds: dict[str, set[bool]] = {}
    for example in chosen:
        kinds.setdefault(normalised(example.prompt), set()).add(example.concept not in safe)
    asked: dict[str, Request] = {}
    for example in chosen:
        prompt = normalised(example.prompt)
        if len(kinds[prompt]) == 1:
            harmful = example.concept not in safe
            asked.setdefault(prompt, Request(example.id, example.prompt, harmful, False, split))
    return list(asked.values())
