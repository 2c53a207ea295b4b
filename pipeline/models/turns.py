"""Turns as tokens: where a prompt ends, what of it is the text's, and what is the frame's."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from pipeline.core.console import InputError
from pipeline.models.chat_frame import TRIED, frame_of
from pipeline.models.plain_text import PlainTextTokenizer, mark_tags_special

PROMPT = "Why?"
# Answers that begin as answers do: a prompt must end at the end of a token before each of them.
BEGINNINGS = ("Yes", "I", "1", "\u4f60")
Span = tuple[int, int]


@dataclass(frozen=True)
class Turn:
    """A prompt and perhaps its answer, tokenised together with their frame.

    The bounds count tokens: [0, asked) is the frame's opening, [asked, between) the prompt,
    [between, answer) the frame up to where an answer begins, [answer, said) what the frame has
    before the answer's text, [said, closing) that text, [closing, end) the frame up to the token
    that ends the answer. A token belongs to a text if any of its characters do; one that reaches
    over the index where an answer begins belongs to what follows.

    offsets: the first and the last but one character of each token. texts: those of the prompt's
    and the response's text.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]
    texts: tuple[Span, Span]
    asked: int
    between: int
    answer: int
    said: int
    closing: int
    end: int

    def prompt(self, tokens: int) -> list[int]:
        """The ids up to where an answer begins, with the last `tokens` of the prompt's text."""
        start = max(self.asked, self.between - tokens)
        return [*self.ids[: self.asked], *self.ids[start : self.answer]]

    def response(self, tokens: int | None, is_ended: bool = True) -> list[int]:
        """The ids from where an answer begins, with the first `tokens` of its text."""
        text = self.ids[self.said : self.closing][:tokens]
        ending = self.ids[self.closing : self.end] if is_ended else []
        return [*self.ids[self.answer : self.said], *text, *ending]

    def read(self, prompt_tokens: int, response_tokens: int) -> tuple[slice, slice]:
        """The characters that such a cut leaves of the prompt's and of the response's text."""
        (asked, asked_end), (said, said_end) = self.texts
        start, stop = asked, said_end
        if self.between - self.asked > prompt_tokens:
            start = max(asked, self.offsets[self.between - prompt_tokens][0])
        if self.closing - self.said > response_tokens:
            stop = min(said_end, self.offsets[self.said + response_tokens - 1][1])
        return slice(start - asked, asked_end - asked), slice(0, max(0, stop - said))


class TurnTokenizer:
    """Turns in the tokenizer's chat template, as `apply_chat_template(..., tokenize=True)` has
    them, but for control tokens that are written inside a text: texts are plain text.

    A prompt ends at the same token alone and before an answer, unless the answer opens with
    characters that the tokenizer joins with the prompt's last ones, as two line breaks.

    Raises InputError as frame_of, and for a tokenizer that cannot read frames and texts so.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        mark_tags_special(tokenizer)
        self.plain = PlainTextTokenizer(tokenizer)
        self.frame = frame_of(tokenizer)
        self._opening, self._between, self._lead, self._closing = map(
            self.plain.named,
            (self.frame.opening, self.frame.between, self.frame.lead, self.frame.closing),
        )
        if not self._ends_prompts_with_a_token():
            raise InputError(
                "the tokenizer joins the end of its chat template's prompt with the answer's first "
                "word; choose another model or mend its template"
            )
        turns = self(TRIED)
        self._hold_to(tokenizer, turns)
        self.frame_tokens = max(t.asked + t.said - t.between + t.end - t.closing for t in turns)
        lasts = {turn.ids[turn.end - 1] for turn in turns} & self.plain.control_ids
        self.end: int | None = lasts.pop() if len(lasts) == 1 else None

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Turn]:
        """Prompts with their responses; an empty response leaves the prompt alone."""
        texts = self.trimmed(pairs)
        written = [
            self._opening + asked + self._between
            + (self._lead + said + self._closing if response else "")
            for (asked, said), (_, response) in zip(texts, pairs, strict=True)
        ]  # fmt: skip
        return [
            self._turn(encoding, len(asked), len(said))
            for encoding, (asked, said) in zip(self.plain.encode(written), texts, strict=True)
        ]

    def trimmed(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Prompts and responses as the template shows them."""
        return [(self.frame.asked(prompt), self.frame.said(said)) for prompt, said in pairs]

    def _ends_prompts_with_a_token(self) -> bool:
        """Whether a prompt is tokenised the same alone and before answers as they begin mostly."""
        alone, *turns = self([(PROMPT, ""), *((PROMPT, beginning) for beginning in BEGINNINGS)])
        return all(turn.ids[: turn.answer] == alone.ids for turn in turns)

    def _hold_to(self, tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn]) -> None:
        """Refuse a tokenizer that this one does not equal."""
        whole = tokenizer([self.frame.turn(*pair) for pair in TRIED], add_special_tokens=False)
        if [turn.ids for turn in turns] != whole.input_ids:
            raise InputError(
                "the tokenizer's control tokens cannot be told from text; choose another model"
            )

    def _turn(self, encoding: Encoding, asked: int, said: int) -> Turn:
        """The bounds of a tokenised turn. asked and said: the texts' numbers of characters."""
        ids, offsets, controls = encoding.ids, encoding.offsets, self.plain.control_ids

        def up_to(character: int, least: int) -> int:
            """The number of tokens that end there or before. Control tokens are the frame's, though
            some take the spaces that follow them."""
            count = bisect_right(offsets, character, key=itemgetter(1))
            while count < len(ids) and offsets[count][0] < character and ids[count] in controls:
                count += 1
            return max(least, count)

        def through(character: int, least: int) -> int:
            """The number of tokens that begin before it. Some control tokens take the spaces that
            stand before them."""
            count = bisect_left(offsets, character, key=itemgetter(0))
            while count > least and ids[count - 1] in controls:
                count -= 1
            return max(least, count)

        asked_at = len(self._opening)
        answer_at = asked_at + asked + len(self._between)
        said_at = answer_at + len(self._lead)
        first = up_to(asked_at, 0)
        answer = up_to(answer_at, first)
        start = up_to(said_at, answer)
        closing = through(said_at + said, start)
        end = next((i + 1 for i in range(closing, len(ids)) if ids[i] in controls), len(ids))
        return Turn(
            ids, offsets, ((asked_at, asked_at + asked), (said_at, said_at + said)),
            asked=first, between=min(through(asked_at + asked, first), answer), answer=answer,
            said=start, closing=closing, end=end,
        )  # fmt: skip
