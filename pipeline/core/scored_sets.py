"""Sets of texts that monitors are scored on and never fitted on: other corpora's, each by its name.

A set's texts are a split of their own: `shifted/NAME`, or `shifted` where a set has no name.
"""

from collections.abc import Iterable
from dataclasses import replace

from pipeline.core.records import Example
from pipeline.core.text_identity import is_blank

UNNAMED = "shifted"


def split_of(name: str) -> str:
    """The split of a set's texts."""
    return f"{UNNAMED}/{name}" if name else UNNAMED


EVERYDAY = split_of("everyday")  # a set of mostly harmless texts, worded as those of training


def name_of(split: str) -> str:
    """The name of a set, by its split; "" of one without."""
    return split.partition("/")[2]


def is_of_set(split: str) -> bool:
    """Whether a split is a set of another corpus' texts."""
    return split == UNNAMED or split.startswith(f"{UNNAMED}/")


def sets_among(splits: Iterable[str]) -> tuple[str, ...]:
    """The splits that are such sets, each once, by name; the unnamed one first."""
    return tuple(sorted(set(filter(is_of_set, splits))))


def prompts_alone(examples: Iterable[Example]) -> frozenset[str]:
    """The sets with a text that nobody answered: they are read at the prompt's end alone, since no
    state at another position is of the same thing in all of their texts."""
    return frozenset(e.split for e in examples if is_of_set(e.split) and is_blank(e.response))


def seen_at(position: str, examples: Iterable[Example]) -> list[Example]:
    """The texts as far as they can be seen at a position: at the prompt's end, without answers."""
    if position != "prompt_end":
        return list(examples)
    return [replace(example, response="") for example in examples]
