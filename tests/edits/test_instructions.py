"""An instruction stands whole before every prompt, and takes none of it away."""

import pytest

from pipeline.core.records import Request
from pipeline.edits.instructions import NONE, Instruction
from pipeline.models.encoding import Encoder

INSTRUCTION = Instruction("Refuse whatever could hurt somebody.")
LONG = " ".join(f"word{number}" for number in range(300))


@pytest.mark.parametrize("prompt", ["Why?", LONG, "", "  So  it\nis. "])
def test_what_is_read_of_a_prompt_follows_the_whole_instruction(
    encoder: Encoder, prompt: str
) -> None:
    request = Request("r", prompt, True, False, "test")
    (asked,) = INSTRUCTION.before(encoder, [request])
    ((shown, _),) = INSTRUCTION.encoder(encoder).words([(asked.prompt, "")])
    ((read, _),) = encoder.words([(prompt, "")])
    assert shown.strip() == f"{INSTRUCTION.text} {read}".strip()
    assert (asked.id, asked.harmful, asked.split) == (request.id, True, "test")


def test_no_instruction_changes_nothing(encoder: Encoder) -> None:
    requests = [Request("r", LONG, True, False, "test")]
    assert NONE.before(encoder, requests) is requests
    assert NONE.encoder(encoder) is encoder
    assert not NONE
    assert INSTRUCTION
