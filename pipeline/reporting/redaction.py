"""Which texts a page or a picture does not show: those of harmful concepts.

Texts that this project generated are shown: they are harmful in aim, and never in method.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Redaction:
    """harmless: the concepts whose texts are shown; None where all are."""

    harmless: frozenset[str] | None = None

    def hides(self, concept: str) -> bool:
        return self.harmless is not None and concept not in self.harmless

    def __call__(self, text: str, concept: str, name: str) -> str:
        """A text of a concept or, instead of it, the name that it has in the data's files."""
        return f"[redacted: {name}]" if self.hides(concept) else text


def redaction_of(manifest: Mapping[str, Any], redact: bool) -> Redaction:
    """What a corpus with this manifest shows. redact: whether it hides anything."""
    generated, safe = not manifest["sources"], manifest["safe"]
    return Redaction(frozenset(safe)) if redact and safe and not generated else Redaction()
