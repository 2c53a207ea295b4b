"""What the cells of a table mean: texts, chats, labels."""

import json
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.core.console import InputError
from pipeline.core.text_identity import is_blank
from pipeline.corpora.columns import BYTE_ORDER_MARK, AsMeant

LabelSet = tuple[str, ...]
LABELS_UNKNOWN: LabelSet = ("",)  # of a text of which it is not known whether it has any label
YES, NO = {"1", "true", "yes"}, {"0", "false", "no"}
# Who speaks in a chat, as the usual formats call them.
ROLES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user",
    "assistant": "assistant", "model": "assistant", "gpt": "assistant",
}  # fmt: skip


def text_in(where: str, name: str, cell: object) -> str:
    """A cell that is a text. Raises InputError for any other, and for one that can't be written."""
    if not isinstance(cell, str):
        raise InputError(f"{where}: {name!r} is {reprlib.repr(cell)}, not text; put it in quotes")
    if "\0" in cell:
        raise InputError(f"{where}: {name!r} holds a NUL character; remove it")
    try:
        cell.encode()
    except UnicodeEncodeError:
        raise InputError(f"{where}: {name!r} holds half a character (a lone surrogate)") from None
    return cell.replace(BYTE_ORDER_MARK, "")


def optional_text(where: str, name: str, cell: object) -> str:
    """The same; "" where there is none, which many writers say by null."""
    return "" if cell is None else text_in(where, name, cell)


def exchange_in(
    where: str, cells: Mapping[str, Any], columns: Sequence[str], as_meant: AsMeant
) -> tuple[str, str]:
    """A row's prompt and its response, which is "" where there is none.

    columns: that of the prompt and that of the response, or one: of texts without a response or of
    chats, which are lists of turns.
    """
    if len(columns) == 1 and isinstance(cells[columns[0]], list):
        prompt, response = _last_exchange(where, columns[0], cells[columns[0]], as_meant)
    else:
        prompt = text_in(where, columns[0], cells[columns[0]])
        response = "".join(optional_text(where, name, cells[name]) for name in columns[1:])
    if is_blank(prompt):
        raise InputError(f"{where} has no {columns[0]}; fill it or remove the row")
    return prompt, "" if is_blank(response) else response


def _last_exchange(
    where: str, name: str, turns: Sequence[Any], as_meant: AsMeant
) -> tuple[str, str]:
    """The last user's turn, after what the system said, and the answer to it if there is one.

    Not every chat template has a system's turn; where there is none, its text is put before the
    user's, as here. Earlier exchanges are left out.
    """
    said = [_turn(where, name, turn) for turn in turns]
    system = [text for role, text in said if role == "system"]
    spoken = [(role, text) for role, text in said if role != "system"]
    answered = bool(spoken) and spoken[-1][0] == "assistant"
    asked = spoken[: len(spoken) - answered]
    if not asked or asked[-1][0] != "user":
        raise InputError(
            f"{where}: {name!r} does not end in a user's turn, or in one and its answer; "
            "cut it there or remove the row"
        )
    as_meant["chats_without_their_earlier_turns"] += len(asked) > 1
    prompt = "\n\n".join([*system, asked[-1][1]])
    return prompt, spoken[-1][1] if answered else ""


def _turn(where: str, name: str, turn: Any) -> tuple[str, str]:
    """Who speaks, by ROLES, and what is said; of contents in parts, the texts."""
    fields = turn if isinstance(turn, Mapping) else {}
    role = ROLES.get(str(fields.get("role", fields.get("from"))))
    if role is None:
        raise InputError(
            f"{where}: {name!r} holds {reprlib.repr(turn)}, no turn of a system, a user or an "
            "assistant; remove it"
        )
    content = fields.get("content", fields.get("value"))
    if isinstance(content, list):
        content = "\n".join(text_in(where, name, part.get("text")) for part in content)
    return role, text_in(where, name, content)


def labels_in(where: str, name: str, cell: object, as_meant: AsMeant) -> LabelSet:
    """The labels of a cell that holds one or a list of them; none where it is empty."""
    if isinstance(cell, list):
        return tuple(label for item in cell for label in labels_in(where, name, item, as_meant))
    if isinstance(cell, bool | int):
        as_meant["names_that_were_no_text"] += 1
        return (json.dumps(cell),)
    label = optional_text(where, name, cell).strip()
    return () if is_blank(label) else (label,)


def flagged(where: str, cells: Mapping[str, Any], columns: Sequence[str]) -> LabelSet:
    """The columns that say yes. Where none does, but some say nothing: LABELS_UNKNOWN."""
    said = {name: _flag(where, name, cells[name]) for name in columns}
    yes = tuple(name for name, is_so in said.items() if is_so)
    return LABELS_UNKNOWN if not yes and None in said.values() else yes


def _flag(where: str, name: str, cell: object) -> bool | None:
    if cell is None or (isinstance(cell, str) and is_blank(cell)):
        return None
    word = f"{cell:g}" if isinstance(cell, float) else str(cell).strip().lower()
    if word not in YES | NO:
        raise InputError(
            f"{where}: {name!r} is {reprlib.repr(cell)}, neither yes nor no; write 1 or 0, true or "
            "false, or nothing where it is not known"
        )
    return word in YES
