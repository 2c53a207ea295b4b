"""What cells mean: chats, several labels, columns that say yes or no."""

import json

import pytest

from pipeline.core.console import InputError
from pipeline.corpora.cells import LABELS_UNKNOWN, exchange_in, flagged, labels_in, text_in
from pipeline.corpora.columns import AsMeant


def turn(role: str, content: object) -> dict[str, object]:
    return {"role": role, "content": content}


def chat(*turns: dict[str, object]) -> tuple[str, str]:
    return exchange_in("row 1", {"messages": [*turns]}, ["messages"], AsMeant())


ASKED, SAID = turn("user", "Why?"), turn("assistant", "So.")


def test_a_chat_is_its_last_exchange_after_what_the_system_said() -> None:
    counted = AsMeant()
    turns = [turn("system", "Be kind."), turn("user", "Hi."), turn("assistant", "Ho."), ASKED, SAID]
    found = exchange_in("row 1", {"messages": turns}, ["messages"], counted)
    assert found == ("Be kind.\n\nWhy?", "So.")
    assert counted == {"chats_without_their_earlier_turns": 1}


def test_a_chat_may_end_in_a_question_and_have_its_contents_in_parts() -> None:
    assert chat(SAID, ASKED) == ("Why?", "")
    parts = turn("user", [{"type": "text", "text": "Why"}, {"type": "text", "text": "not?"}])
    assert chat(parts, SAID) == ("Why\nnot?", "So.")


def test_other_names_of_turns_are_taken_as_meant() -> None:
    turns = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]
    assert chat(*turns) == ("Why?", "So.")


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([], "does not end in a user's turn"),
        ([SAID], "does not end in a user's turn"),
        ([turn("system", "Be kind."), SAID], "does not end in a user's turn"),
        ([ASKED, SAID, SAID], "does not end in a user's turn"),
        ([ASKED, turn("tool", "3")], "no turn of a system, a user or an assistant"),
        (["Why?"], "no turn of"),
        ([turn("user", None)], "is None, not text"),
        ([turn("user", [{"type": "image"}])], "is None, not text"),
        ([turn("user", " ")], "has no messages"),
    ],
)
def test_other_chats_are_one_line(turns: list[dict[str, object]], message: str) -> None:
    with pytest.raises(InputError, match=f"row 1.*{message}"):
        chat(*turns)


def test_one_column_is_a_text_without_a_response() -> None:
    assert exchange_in("row 1", {"text": "Why?"}, ["text"], AsMeant()) == ("Why?", "")


@pytest.mark.parametrize("response", [None, "", " \u200b"])
def test_a_response_may_be_missing(response: str | None) -> None:
    cells = {"prompt": "Why?", "response": response}
    assert exchange_in("row 1", cells, ["prompt", "response"], AsMeant()) == ("Why?", "")


@pytest.mark.parametrize(
    ("cell", "labels"),
    [("hate", ("hate",)), (" hate ", ("hate",)), (["hate", "fear"], ("hate", "fear")),
     ([], ()), (None, ()), ("", ()), ([None, "hate", 3], ("hate", "3")), (True, ("true",))],
)  # fmt: skip
def test_a_cell_holds_one_label_or_a_list(cell: object, labels: tuple[str, ...]) -> None:
    assert labels_in("row 1", "concept", cell, AsMeant()) == labels


@pytest.mark.parametrize(
    ("cells", "labels"),
    [((1, 0), ("a",)), (("yes", "TRUE"), ("a", "b")), ((False, 0.0), ()), ((1.0, None), ("a",)),
     ((0, None), LABELS_UNKNOWN), (("", " "), LABELS_UNKNOWN), ((None, True), ("b",))],
)  # fmt: skip
def test_columns_that_say_yes_are_labels_and_what_is_not_known_is_no_no(
    cells: tuple[object, object], labels: tuple[str, ...]
) -> None:
    assert flagged("row 1", dict(zip("ab", cells, strict=True)), ["a", "b"]) == labels


@pytest.mark.parametrize("cell", [2, 0.5, "maybe", [1]])
def test_neither_yes_nor_no_is_one_line(cell: object) -> None:
    with pytest.raises(InputError, match=r"row 1: 'a' is .*, neither yes nor no; write 1 or 0"):
        flagged("row 1", {"a": cell}, ["a"])


@pytest.mark.parametrize("cell", [3, None, ["a"], "a\0", json.loads('"\\ud800"')])
def test_what_is_no_text_is_one_line(cell: object) -> None:
    with pytest.raises(InputError, match=r"row 1: 'prompt' .*"):
        text_in("row 1", "prompt", cell)
