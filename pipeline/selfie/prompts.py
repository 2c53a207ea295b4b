"""Prompts with places for hidden states, built from token ids: no tokenizer can merge them away."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from pipeline.core.console import InputError
from pipeline.core.sections import Asking
from pipeline.models.encoding import PLAIN_SLOT, SLOT, WORD_START, Encoder


@dataclass(frozen=True)
class Prompt:
    """Token ids, the places among them that vectors are written over, and which of a reading's
    vectors (0 the first) goes to each. A prompt without places is asked as it is."""

    ids: tuple[int, ...]
    places: tuple[int, ...] = ()
    vectors: tuple[int, ...] = ()


class InterpretationPrompt(Prompt):
    """A prompt of texts and placeholders: `("Message: ", 0, 0, 0, " What is it about?")`.

    Every number is a placeholder for the vector of that number; one vector is number 0, in as many
    placeholders as you like. Texts are tokenised as they stand, control tokens included, after the
    tokenizer's own opening token. What is injected replaces the placeholder's meaning, but blocks
    below the injection read it: `<|slot|>` where the tokenizer has it, else `_`.
    Raises InputError for an empty prompt, one without a placeholder, numbers that leave one out,
    and a placeholder that is not one token.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        parts: Sequence[str | int],
        placeholder: str | None = None,
    ):
        numbers = tuple(part for part in parts if not isinstance(part, str))
        if not parts:
            raise InputError("the prompt is empty; give texts, and 0 where a hidden state goes")
        if not numbers:
            raise InputError("the prompt has no placeholder; put 0 where a hidden state goes")
        if set(numbers) != set(range(max(numbers) + 1)):
            raise InputError(f"placeholders {sorted(set(numbers))} must be numbered 0, 1, ...")
        slot = _single_token(tokenizer, placeholder)
        ids, places = _opening(tokenizer), []
        for part in parts:
            if isinstance(part, str):
                ids += tokenizer.encode(part, add_special_tokens=False)
            else:
                places.append(len(ids))
                ids.append(slot)
        assert [ids[place] for place in places] == [slot] * len(numbers)
        super().__init__(tuple(ids), tuple(places), numbers)


def asked_of_state(encoder: Encoder, asking: Asking) -> Prompt:
    """asking.question in the model's chat template, with placeholders for one hidden state."""
    ids = encoder.placeholder_prompt(asking.question, asking.placeholders)
    places = tuple(place for place, token in enumerate(ids) if token == encoder.slot)
    return Prompt(tuple(ids), places, (0,) * len(places))


def asked_of_words(encoder: Encoder, asking: Asking, text: Sequence[int]) -> Prompt:
    """The same question, with a text's own tokens where the hidden state would stand."""
    before, after = (encoder.contents(part) for part in asking.question.split("{message}"))
    return Prompt(tuple(encoder.prompt([*before, *text, *after])))


def _opening(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The token that the tokenizer begins every text with, where it has one."""
    first = list(tokenizer("x").input_ids)[:1]
    return first if first == [tokenizer.bos_token_id] else []


def _single_token(tokenizer: PreTrainedTokenizerBase, placeholder: str | None) -> int:
    wanted = placeholder or (SLOT if SLOT in tokenizer.get_vocab() else PLAIN_SLOT)
    ids = tokenizer.encode(wanted, add_special_tokens=False)
    if len(ids) == 2 and tokenizer.convert_ids_to_tokens(ids)[0] == WORD_START:
        ids = ids[1:]  # SentencePiece writes the space before a word as a token of its own
    if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
        raise InputError(
            f"the tokenizer makes {len(ids)} tokens of the placeholder {wanted!r}, not one of its "
            "own; choose another one"
        )
    return int(ids[0])
