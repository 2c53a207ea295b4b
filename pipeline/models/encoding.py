"""How texts become tokens: laid out in a chat template, with named positions, in batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from pipeline.core.console import InputError
from pipeline.core.sections import Text
from pipeline.models.padding import padded
from pipeline.models.turns import PROMPT, Turn, TurnTokenizer

SLOT = "<|slot|>"  # where a hidden state goes; a model without such a token has PLAIN_SLOT
PLAIN_SLOT = "_"
WORD_START = "\u2581"  # how SentencePiece writes the space before a word


@dataclass(frozen=True)
class Encoded:
    """A text as token ids. Positions are indices into ids: the prompt's end and the text's."""

    ids: tuple[int, ...]
    prompt_end: int
    last: int


@dataclass(frozen=True)
class Batch:
    """Right-padded texts: ids and mask [B, T]; prompt_end and last [B]."""

    ids: Tensor
    mask: Tensor
    prompt_end: Tensor
    last: Tensor

    def at(self, hidden: Tensor, position: str) -> Tensor:
        """The hidden states [B, T, D] of every text at a named position: [B, D]."""
        if position == "mean":
            weights = self.mask.unsqueeze(-1).to(hidden.dtype)
            return (hidden * weights).sum(1) / weights.sum(1)
        rows = torch.arange(len(hidden), device=hidden.device)
        return hidden[rows, self.prompt_end if position == "prompt_end" else self.last]

    def predicting(self) -> Tensor:
        """Real tokens that a real one follows: bool [B, T - 1]; ids[:, 1:] holds the next ones."""
        return self.mask[:, :-1].bool() & self.mask[:, 1:].bool()


class Encoder:
    """Lays texts out in the tokenizer's own chat template, or a plain one where it has none, with
    the ids that the template's own turns have (pipeline.models.turns), up to the token that ends
    an answer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, text: Text):
        self.tokenizer, self.text = tokenizer, text
        self.turns = TurnTokenizer(tokenizer)
        own = self.turns.end
        self.end = [int(tokenizer.eos_token_id) if own is None else own]
        vocabulary = tokenizer.get_vocab()
        self.slot = vocabulary[SLOT] if SLOT in vocabulary else self.contents(PLAIN_SLOT)[-1]

    @property
    def pad(self) -> int:
        """The token that fills rows of a batch up."""
        return int(self.tokenizer.pad_token_id)

    @property
    def frame_tokens(self) -> int:
        return self.turns.frame_tokens

    @property
    def longest(self) -> int:
        """The most tokens that a text can have."""
        return self.frame_tokens + self.text.prompt_tokens + self.text.response_tokens

    def contents(self, text: str) -> list[int]:
        """The ids of a text by itself, without a frame."""
        return self.turns.plain.encode([text])[0].ids

    def cut(self, texts: Sequence[str], kept: slice) -> list[str]:
        """What is left of texts of whose tokens, by themselves, only these are kept."""
        spans = [found.offsets[kept] for found in self.turns.plain.encode(texts)]
        return [
            text[own[0][0] : own[-1][1]] if own else ""
            for text, own in zip(texts, spans, strict=True)
        ]

    def prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of whole prompts, up to where an answer begins."""
        return [turn.ids for turn in self.turns([(text, "") for text in texts])]

    def answers(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of answers as they follow a prompt, without the token that ends them."""
        turns = self.turns([(PROMPT, text) for text in texts])
        return [turn.response(None, is_ended=False) for turn in turns]

    def around_suffix(
        self, prompts: Sequence[str], tokens: int
    ) -> list[tuple[list[int], list[int]]]:
        """The ids of prompts before and after a suffix of so many tokens, which ends their text. A
        prompt is cut so that both together are no longer than text.prompt_tokens."""
        found = []
        for turn in self.turns([(prompt, "") for prompt in prompts]):
            after = turn.ids[turn.between : turn.answer]
            whole = turn.prompt(self.text.prompt_tokens - tokens)
            found.append((whole[: len(whole) - len(after)], after))
        return found

    def suffixed(self, prompt: str, suffix: Sequence[int]) -> str:
        """A prompt with words behind it, each one of `whole_words`."""
        return " ".join([prompt, *(self.decode([word]).strip() for word in suffix)])

    def whole_words(self) -> list[int]:
        """The tokens that are a word by themselves wherever it stands behind a space: what they
        spell is read as them again."""
        spelt = {token: self.decode([token]).strip() for token in range(len(self.tokenizer))}
        words = {token: word for token, word in spelt.items() if word.isalpha()}
        start = len(self.contents("a"))
        read = self.turns.plain.encode([f"a {word}" for word in words.values()])
        return [
            token for token, found in zip(words, read, strict=True) if found.ids[start:] == [token]
        ]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids)))

    def around_message(self, question: str) -> tuple[list[int], list[int]]:
        """The ids of a prompt that asks the question, before and after its {message}."""
        plain = self.turns.plain
        (turn,) = self.turns([(question.replace("{message}", plain.slot), "")])
        index = turn.ids.index(plain.slot_id)
        return turn.ids[:index], turn.ids[index + 1 :]

    def placeholder_prompt(self, question: str, placeholders: int) -> list[int]:
        """A question with placeholders, of one token each, where its {message} would stand."""
        before, after = self.around_message(question)
        if self.slot in (*before, *after):
            raise InputError(
                f"asking.question holds {self.decode([self.slot])!r}, which marks where a hidden "
                "state goes; word it without"
            )
        return [*before, *[self.slot] * placeholders, *after]

    def __call__(self, prompt: str, response: str) -> Encoded:
        """Encode prompt and response; an empty response leaves the text at the prompt's end."""
        return self.texts([(prompt, response)])[0]

    def texts(self, pairs: Sequence[tuple[str, str]]) -> list[Encoded]:
        """Encode many prompts with their responses. A prompt is cut to the last
        text.prompt_tokens of its text, a response to the first text.response_tokens."""
        return [self._encoded(t, t.response(self.text.response_tokens)) for t in self.turns(pairs)]

    def unended(self, pairs: Sequence[tuple[str, str]]) -> list[Encoded]:
        """Encode prompts with whole answers, without the token that ends one: a model never reads
        it while it generates.

        Answers are encoded anew. Their tokens may differ from those that a model generated, where
        several spell the same text.
        """
        return [self._encoded(t, t.response(None, is_ended=False)) for t in self.turns(pairs)]

    def words(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """What `texts` reads of prompts and responses, as it is written."""
        left = (self.text.prompt_tokens, self.text.response_tokens)
        shown = zip(self.turns.trimmed(pairs), self.turns(pairs), strict=True)
        found = [(texts, turn.read(*left)) for texts, turn in shown]
        return [(asked[of_asked], said[of_said]) for (asked, said), (of_asked, of_said) in found]

    def _encoded(self, turn: Turn, response: Sequence[int]) -> Encoded:
        prompt = turn.prompt(self.text.prompt_tokens)
        end = len(prompt) - 1
        return Encoded((*prompt, *response), prompt_end=end, last=end + len(response))

    def batch(self, texts: Sequence[Encoded], device: torch.device | None = None) -> Batch:
        ids, mask = padded([text.ids for text in texts], self.pad, "right")
        ends = torch.tensor([text.prompt_end for text in texts])
        lasts = torch.tensor([text.last for text in texts])
        return Batch(ids.to(device), mask.to(device), ends.to(device), lasts.to(device))


def token_batches(texts: Sequence[Encoded], tokens: int) -> Iterator[list[int]]:
    """Indices of texts in batches of like length, each of at most `tokens` with its padding."""
    batch: list[int] = []
    for index in np.argsort([len(text.ids) for text in texts], kind="stable"):
        if batch and (len(batch) + 1) * len(texts[index].ids) > tokens:
            yield batch
            batch = []
        batch.append(int(index))
    if batch:
        yield batch


def ends_of(
    model: Any, tokenizer: PreTrainedTokenizerBase, closing: Sequence[int] = ()
) -> list[int]:
    """The tokens that end an answer: the model's own, the tokenizer's, and its chat template's."""
    own = model.generation_config.eos_token_id if model.generation_config else None
    listed = own if isinstance(own, list) else [own]
    return sorted({int(t) for t in (*listed, tokenizer.eos_token_id, *closing) if t is not None})
