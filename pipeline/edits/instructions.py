"""An instruction before every prompt: the plainest way to ask a model for what an edit does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pipeline.core.records import Document, Example, Request
from pipeline.models.encoding import Encoder

Prompted = TypeVar("Prompted", Request, Document, Example)


@dataclass(frozen=True)
class Instruction:
    """What is put before prompts, a space between; nothing where it is empty."""

    text: str

    def __bool__(self) -> bool:
        return bool(self.text)

    def encoder(self, encoder: Encoder) -> Encoder:
        """An encoder that cuts no prompt short for the instruction before it."""
        if not self:
            return encoder
        room = len(encoder.contents(f"{self.text} "))
        prompt_tokens = encoder.text.prompt_tokens + room
        return Encoder(
            encoder.tokenizer, encoder.text.model_copy(update={"prompt_tokens": prompt_tokens})
        )

    def before(self, encoder: Encoder, texts: Sequence[Prompted]) -> Sequence[Prompted]:
        """Texts with the instruction before what the encoder reads of their prompts."""
        if not self:
            return texts
        read = encoder.words([(text.prompt, "") for text in texts])
        return [
            replace(text, prompt=f"{self.text} {prompt}")
            for text, (prompt, _) in zip(texts, read, strict=True)
        ]


NONE = Instruction("")
