"""Which texts, and which labels, are the same to a reader: decided here, once.

Texts are shown and tokenised as they are. Only comparisons use the normal form.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

# What a reader does not see: control characters, and what Unicode calls default ignorable (soft
# hyphens, zero-width and direction marks, byte order marks, variation selectors, fillers, tags).
UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def normalised(text: str) -> str:
    """A text as it is compared: two texts are the same where these are.

    Canonically equivalent characters are one (NFC), case does not count, unseen marks do not, and
    a run of white space is one space. Compatible characters stay apart: x² is not x2.
    """
    folded = unicodedata.normalize("NFD", UNSEEN.sub("", text)).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def is_blank(text: str) -> bool:
    """Whether a reader sees nothing of a text."""
    return not UNSEEN.sub("", text).strip()


def first_of_each(items: Iterable[T], text_of: Callable[[T], str]) -> list[T]:
    """Of items with the same text, the first; in their order."""
    first: dict[str, T] = {}
    for item in items:
        first.setdefault(normalised(text_of(item)), item)
    return list(first.values())


def is_among(label: str, labels: Iterable[str]) -> bool:
    """Whether a reader takes a label for one of some."""
    return normalised(label) in map(normalised, labels)


class LabelForms:
    """Labels that are the same to a reader get one form: that of the first, known ones before all.

    A label of which nothing is seen is empty. `merged` counts those that got another form than
    they were typed in, white space apart.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.forms: dict[str, str] = {}
        self.merged = 0
        for label in known:
            self.forms.setdefault(normalised(label), _typed(label))

    def of(self, label: str) -> str:
        typed = _typed(label)
        form = self.forms.setdefault(normalised(label), typed)
        self.merged += form != typed
        return form


def _typed(label: str) -> str:
    return "" if is_blank(label) else " ".join(label.split())
