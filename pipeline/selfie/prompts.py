"""Prompts with slots for hidden states, built from token ids, so that no tokenizer merges a slot
with the text beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from pipeline.core.console import InputError
from pipeline.core.sections import Asking
from pipeline.models.encoding import PLAIN_SLOT, SLOT, WORD_START, Encoder


@dataclass(frozen=True)
class Prompt:
    """A prompt as token ids.

    slots: indices into `ids` of the placeholder tokens, over which vectors are written. numbers:
    for each slot, the number of the vector that is written there, counted from 0. Without slots the
    prompt is asked as it stands.
    """

    ids: tuple[int, ...]
    slots: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()


class InterpretationPrompt(Prompt):
    """A prompt of texts and placeholders: `("Message: ", 0, 0, 0, " What is it about?")`.

    Every number is a placeholder for the vector of that number. With a single vector, each
    placeholder is 0. Texts are tokenised as they stand, control tokens included, after the
    tokenizer's own opening token. A vector replaces a placeholder from the injected block on; the
    blocks below read the placeholder token: `<|slot|>` where the tokenizer has it, else `_`.

    Raises InputError for an empty prompt, one without a placeholder, numbers that skip one, and a
    placeholder that is not one token.
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
        ids, slots = _opening(tokenizer), []
        for part in parts:
            if isinstance(part, str):
                ids += tokenizer.encode(part, add_special_tokens=False)
            else:
                slots.append(len(ids))
                ids.append(slot)
        assert [ids[index] for index in slots] == [slot] * len(numbers)
        super().__init__(tuple(ids), tuple(slots), numbers)


def state_prompt(encoder: Encoder, asking: Asking) -> Prompt:
    """asking.question in the model's chat template, with slots for one hidden state.

    Raises InputError where the question itself holds the placeholder token.
    """
    ids = encoder.placeholder_prompt(asking.question, asking.placeholders)
    slots = tuple(index for index, token in enumerate(ids) if token == encoder.slot)
    return Prompt(tuple(ids), slots, (0,) * len(slots))


def words_prompts(encoder: Encoder, asking: Asking, texts: Sequence[str]) -> list[Prompt]:
    """The same question about each text, whose words stand where the hidden state would. Question
    and text are tokenised together, as a user's prompt is."""
    asked = [asking.question.replace("{message}", text) for text in texts]
    return [Prompt(tuple(ids)) for ids in encoder.prompts(asked)]


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
