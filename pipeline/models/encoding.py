"""How texts become tokens: laid out in a chat template, with named positions, in batches."""

import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from pipeline.core.console import InputError, is_out_of_memory
from pipeline.core.sections import Text
from pipeline.models.padding import padded

SLOT = "<|slot|>"  # where a hidden state goes; a model without such a token has PLAIN_SLOT
PLAIN_SLOT = "_"
TAG = re.compile(r"<[^\s]+>|\[[A-Z_/]+\]")  # added tokens that steer a model, such as <think>
WORD_START = "\u2581"  # how SentencePiece writes the space before a word
ASKED, ANSWERED = "\u241f", "\u241e"  # stand for contents while a chat template is rendered
TEMPLATE_SECONDS = 10.0
# Some templates write today's date, by a variable or by a function: both stand still here.
DATE = "26 Jul 2024"
STILL = "{% macro strftime_now(format) %}" + DATE + "{% endmacro %}"


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
    """Lays texts out in the tokenizer's own chat template, or a plain one where it has none.

    The template's frame is tokenised once, as control tokens; the contents are tokenised as plain
    text, so that a control token written inside a text stays text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, text: Text):
        self.tokenizer, self.text = tokenizer, text
        _make_tags_special(tokenizer)
        opening, between, closing = frame_of(tokenizer)
        if tokenizer.convert_ids_to_tokens(self.contents("x"))[0].startswith(WORD_START):
            # Such a tokenizer opens every content with a space of its own.
            opening, between = opening.removesuffix(" "), between.removesuffix(" ")
        self.opening, self.between, ends = (
            tokenizer.encode(part, add_special_tokens=False) for part in (opening, between, closing)
        )
        added = tokenizer.added_tokens_decoder
        ends = [token for token in ends if token in added and added[token].special]
        self.end = ends[:1] or [int(tokenizer.eos_token_id)]
        vocabulary = tokenizer.get_vocab()
        self.slot = vocabulary[SLOT] if SLOT in vocabulary else self.contents(PLAIN_SLOT)[-1]

    @property
    def pad(self) -> int:
        """The token that fills rows of a batch up."""
        return int(self.tokenizer.pad_token_id)

    @property
    def frame_tokens(self) -> int:
        return len(self.opening) + len(self.between) + len(self.end)

    @property
    def longest(self) -> int:
        """The most tokens that a text can have."""
        return self.frame_tokens + self.text.prompt_tokens + self.text.response_tokens

    def contents(self, text: str) -> list[int]:
        return self.all_contents([text])[0]

    def all_contents(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of many texts at once, which takes a fraction of the time."""
        if not texts:
            return []
        found = self.tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)
        return list(found.input_ids)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids)))

    def prompt(self, ids: Sequence[int]) -> list[int]:
        """A user's turn of these content ids, up to where the answer begins."""
        return [*self.opening, *ids, *self.between]

    def placeholder_prompt(self, question: str, placeholders: int) -> list[int]:
        """A question with placeholders where its {message} would stand, built from token ids."""
        before, after = question.split("{message}")
        slots = [self.slot] * placeholders
        prompt = self.prompt([*self.contents(before), *slots, *self.contents(after)])
        if prompt.count(self.slot) != placeholders:
            raise InputError(
                f"asking.question holds {self.decode([self.slot])!r}, which marks where a hidden "
                "state goes; word it without"
            )
        return prompt

    def __call__(self, prompt: str, response: str) -> Encoded:
        """Encode prompt and response; an empty response leaves the text at the prompt's end."""
        return self.texts([(prompt, response)])[0]

    def texts(self, pairs: Sequence[tuple[str, str]]) -> list[Encoded]:
        """Encode many prompts with their responses."""
        asked = self.all_contents([prompt for prompt, _ in pairs])
        said = self.all_contents([response for _, response in pairs])
        return [self._laid_out(*contents) for contents in zip(asked, said, strict=True)]

    def _laid_out(self, asked: Sequence[int], said: Sequence[int]) -> Encoded:
        prompt = self.prompt(asked[-self.text.prompt_tokens :])
        answer = [*said[: self.text.response_tokens], *self.end] if said else []
        end = len(prompt) - 1
        return Encoded((*prompt, *answer), prompt_end=end, last=end + len(answer))

    def batch(self, texts: Sequence[Encoded], device: torch.device | None = None) -> Batch:
        ids, mask = padded([text.ids for text in texts], self.pad, "right")
        ends = torch.tensor([text.prompt_end for text in texts])
        lasts = torch.tensor([text.last for text in texts])
        return Batch(ids.to(device), mask.to(device), ends.to(device), lasts.to(device))


def frame_of(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str, str]:
    """What stands before a user's message, between it and the answer, and after the answer.

    Taken from the tokenizer's chat template, rendered with marks for the contents; a base model
    without one gets `User: ... Assistant: ...`. Raises InputError for a template that fails, takes
    longer than TEMPLATE_SECONDS, or does not keep the contents whole and in order.
    """
    if tokenizer.chat_template is None:
        return f"{tokenizer.bos_token or ''}User: ", "\nAssistant: ", str(tokenizer.eos_token)
    # A whole turn, not a generation prompt: reasoning models put an empty thought between.
    turn = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": ANSWERED}]
    try:
        with _no_longer_than(TEMPLATE_SECONDS):
            template = STILL + tokenizer.get_chat_template()
            text = tokenizer.apply_chat_template(
                turn, chat_template=template, tokenize=False, date_string=DATE
            )
    except Exception as error:  # a template is a program of its publisher's
        if is_out_of_memory(error):
            raise
        raise InputError(
            f"the tokenizer's chat template fails ({type(error).__name__}: {error}); choose "
            "another model or mend its template"
        ) from None
    parts = re.split(f"({ASKED}|{ANSWERED})", str(text))
    if parts[1::2] != [ASKED, ANSWERED]:
        raise InputError(
            "the tokenizer's chat template does not show a message once and whole; choose another "
            "model or mend its template"
        )
    return parts[0], parts[2], parts[4]


def _make_tags_special(tokenizer: PreTrainedTokenizerBase) -> None:
    """Publishers leave some of their control tokens unmarked, and unmarked ones are read as
    control tokens inside contents too."""
    tags = [
        AddedToken(token.content, normalized=False, special=True)
        for token in tokenizer.added_tokens_decoder.values()
        if not token.special and TAG.fullmatch(token.content)
    ]
    if tags:
        tokenizer.backend_tokenizer.add_special_tokens(tags)


@contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    """End what runs within by a TimeoutError, where signals can: in a main thread, under Unix."""
    in_main = threading.current_thread() is threading.main_thread()
    if not (in_main and hasattr(signal, "setitimer")):
        yield
        return

    def stop(*_: object) -> None:
        raise TimeoutError(f"took longer than {seconds:g} s")

    former = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


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
