"""Slots stand where they were put, whatever the tokenizer would merge."""

import pytest

from pipeline.core.params import Params
from pipeline.models.chat_frame import frame_of
from pipeline.models.encoding import Encoder
from pipeline.selfie.prompts import InterpretationPrompt, state_prompt, words_prompts


def test_slots_and_numbers_of_a_worked_example(encoder: Encoder) -> None:
    prompt = InterpretationPrompt(encoder.tokenizer, ("Why _", 0, 1, 0, " so?"), placeholder="_")
    before, after = encoder.contents("Why _"), encoder.contents(" so?")
    slot = encoder.contents("_")
    assert prompt.ids == (*before, *slot * 3, *after)
    assert prompt.slots == tuple(range(len(before), len(before) + 3)), "text's own _ is no slot"
    assert prompt.numbers == (0, 1, 0)


def test_parts_of_the_chat_template_make_the_pipelines_question(
    encoder: Encoder, params: Params
) -> None:
    opening, between, _ = frame_of(encoder.tokenizer).parts
    before, after = params.asking.question.split("{message}")
    parts = (opening + before, *[0] * params.asking.placeholders, after + between)
    found = InterpretationPrompt(encoder.tokenizer, parts)
    expected = state_prompt(encoder, params.asking)
    assert (found.ids, found.slots) == (expected.ids, expected.slots)
    assert found.numbers == expected.numbers


def test_a_question_about_words_is_the_prompt_that_a_user_would_write(
    encoder: Encoder, params: Params
) -> None:
    words = ["bake bread", "<|end|> {message}", ""]
    asked = words_prompts(encoder, params.asking, words)
    before, after = params.asking.question.split("{message}")
    assert [p.ids for p in asked] == [encoder(before + w + after, "").ids for w in words]
    assert not any(p.slots for p in asked)
    assert not {encoder.slot, *encoder.end} & set(asked[1].ids[1:-3]), "a text is plain text"


@pytest.mark.parametrize(
    ("parts", "placeholder", "message"),
    [
        ((), None, "the prompt is empty"),
        (("a text",), None, "no placeholder; put 0"),
        (("a", 1, 1), None, r"placeholders \[1\] must be numbered 0, 1"),
        (("a", 0, -1), None, r"placeholders \[-1, 0\] must be numbered"),
        (("a", 0), "two words", "tokens of the placeholder 'two words', not one"),
    ],
)
def test_parts_that_make_no_prompt_are_refused_in_one_line(
    encoder: Encoder, parts: tuple[str | int, ...], placeholder: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        InterpretationPrompt(encoder.tokenizer, parts, placeholder)
    assert "\n" not in str(refused.value)
