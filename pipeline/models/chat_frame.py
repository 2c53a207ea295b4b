"""What a chat template writes around a message and its answer, found by rendering marks."""

import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from pipeline.core.console import InputError, is_out_of_memory

ASKED, ANSWERED = "\u241f", "\u241e"  # stand for contents while a chat template is rendered
TEMPLATE_SECONDS = 10.0
# Some templates write today's date, by a variable or by a function: both stand still here.
DATE = "26 Jul 2024"
STILL = "{% macro strftime_now(format) %}" + DATE + "{% endmacro %}"
# For a base model without a template.
PLAIN = (
    "{{ bos_token }}User: {{ messages[0].content }}\nAssistant:"
    "{% if messages | length > 1 %} {{ messages[1].content }}{{ eos_token }}{% endif %}"
)
SPACES = "".join(c for c in map(chr, range(0x3001)) if c.isspace())
# What templates are seen to change: case, space within, markup, quotes, empty contents.
TRIED = [
    ("Why?", "So."), (" Two  words ", "\nA\r\n\n1. b\n"), ("\t<b>&amp;</b>", "'it\"s' {{ x }}\n"),
    ("\u0645\u0631\u062d\u0628\u0627", "\U0001f642 e\u0301"), (" \n", "\n "),
]  # fmt: skip

Render = Callable[..., str]
"""The text of a prompt, or of a prompt and its answer; asks: with a generation prompt."""


class Trim(NamedTuple):
    """The characters that a template takes off the start and the end of a content."""

    left: str
    right: str

    def __call__(self, text: str) -> str:
        return text.lstrip(self.left).rstrip(self.right)


@dataclass(frozen=True)
class Frame:
    """A turn is opening, prompt, between, lead, answer, closing.

    between ends where a model is asked to go on: with the template's own generation prompt, but
    before a space, which belongs to the word that follows. lead is what the template writes from
    there to an answer's first character: that space, or an empty thought. asked and said: how the
    template trims prompts and answers.
    """

    opening: str
    between: str
    lead: str
    closing: str
    asked: Trim
    said: Trim

    @property
    def parts(self) -> tuple[str, str, str]:
        """What stands before a message, between it and the answer, and after the answer."""
        return self.opening, self.between + self.lead, self.closing

    def prompt(self, asked: str) -> str:
        return self.opening + self.asked(asked) + self.between

    def turn(self, asked: str, said: str) -> str:
        return self.prompt(asked) + self.lead + self.said(said) + self.closing


def frame_of(tokenizer: PreTrainedTokenizerBase) -> Frame:
    """The frame of the tokenizer's chat template, or of PLAIN where it has none.

    Raises InputError for a template that fails, takes longer than TEMPLATE_SECONDS, does more to
    contents than to show each once, in order, and trimmed, or asks for an answer otherwise than it
    shows one.
    """
    try:
        with _no_longer_than(TEMPLATE_SECONDS):
            return _found(partial(_rendered, tokenizer))
    except InputError:
        raise
    except Exception as error:  # a template is a program of its publisher's
        if is_out_of_memory(error):
            raise
        raise _refused(f"fails ({type(error).__name__}: {error})") from None


def _found(render: Render) -> Frame:
    parts = re.split(f"({ASKED}|{ANSWERED})", render(ASKED, ANSWERED))
    if parts[1::2] != [ASKED, ANSWERED]:
        raise _refused("does not show a message once and whole")
    opening, middle, closing = parts[::2]
    between = _up_to_the_answer(render, opening, middle)
    frame = Frame(opening, between, middle.removeprefix(between), closing, *_trims(render))
    for prompt, answer in TRIED:
        if frame.turn(prompt, answer) != render(prompt, answer):
            raise _refused(f"does not show {prompt!r} and {answer!r} as they are written")
    return frame


def _up_to_the_answer(render: Render, opening: str, middle: str) -> str:
    """The part of `middle` that the template's own generation prompt ends with: all of it where the
    template knows no generation prompt."""
    asked = render(ASKED, asks=True)
    if asked == render(ASKED):
        return middle.rstrip(" ")
    before, _, between = asked.partition(ASKED)
    between = between.rstrip(" ")
    if before != opening or not middle.startswith(between):
        raise _refused(
            "asks for an answer otherwise than it shows one, so that no answer could be read as it "
            "was generated"
        )
    return between


def _trims(render: Render) -> tuple[Trim, Trim]:
    """How the template trims a prompt and an answer: a character that it takes off changes
    nothing."""
    whole = render(ASKED, ANSWERED)

    def taken(turn: Callable[[str], tuple[str, str]]) -> str:
        return "".join(c for c in SPACES if render(*turn(c)) == whole)

    return (
        Trim(taken(lambda c: (c + ASKED, ANSWERED)), taken(lambda c: (ASKED + c, ANSWERED))),
        Trim(taken(lambda c: (ASKED, c + ANSWERED)), taken(lambda c: (ASKED, ANSWERED + c))),
    )


def _refused(why: str) -> InputError:
    return InputError(
        f"the tokenizer's chat template {why}; choose another model or mend its template"
    )


def _rendered(
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    answer: str | None = None,
    asks: bool = False,
) -> str:
    messages = [{"role": "user", "content": prompt}]
    if answer is not None:
        messages.append({"role": "assistant", "content": answer})
    template = tokenizer.get_chat_template() if tokenizer.chat_template else PLAIN
    return str(
        tokenizer.apply_chat_template(
            messages,
            chat_template=STILL + template,
            tokenize=False,
            date_string=DATE,
            add_generation_prompt=asks,
        )
    )


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
