"""A tokenizer that reads control tokens only where the program writes them, never in a text."""

import json
import re
import secrets
from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken, Encoding, Tokenizer
from transformers import PreTrainedTokenizerBase

from pipeline.core.console import InputError

# Added tokens that steer a model, such as <think>; those that are words of HTML or bytes do not.
TAG = re.compile(r"<[^\s]+>|\[[A-Z_/]+\]")
WORD = re.compile(
    r"</?(?:[abipqsu]|br|caption|code|div|em|h[1-6r]|img|li|[ou]l|pre|span|strong|su[bp]"
    r"|t(?:able|body|d|foot|h|head|r)|blockquote)/?>|<0x[0-9A-F]{2}>"
)


class PlainTextTokenizer:
    """A copy of a tokenizer whose control tokens have secret names.

    A text cannot hold a name that nobody knows: `<|end|>` written in it is read as seven plain
    characters, however the tokenizer's kind would read it, and a frame and its contents can be
    tokenised together, as the model was trained on them. Nothing else differs: ids are the
    tokenizer's own. It adds no token, cuts and pads nothing.

    slot: what marks the index of a hidden state in a string. slot_id: its id, which is no id of the
    model's.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        state = json.loads(tokenizer.backend_tokenizer.to_str())
        state |= {"post_processor": None, "truncation": None, "padding": None}
        added, key = state["added_tokens"], secrets.token_hex(8)
        controls = {t["content"]: t["id"] for t in added if t["special"]}
        self._names = {token: f"{key}{number:06}" for number, token in enumerate(controls)}
        # As a tokenizer finds them: the longest of those that begin at a character.
        by_length = sorted((t["content"] for t in added), key=len, reverse=True)
        self._added = re.compile("|".join(map(re.escape, by_length)) or "(?!)")
        for token in added:
            token["content"] = self._names.get(token["content"], token["content"])
        _rename(state["model"], self._names)
        self._tokenizer = Tokenizer.from_str(json.dumps(state))
        for token, name in self._names.items():
            if self._tokenizer.token_to_id(name) != controls[token]:
                raise InputError(
                    f"the tokenizer's control token {token!r} cannot be told from text; choose "
                    "another model"
                )
        unknown = _unknown(state["model"])
        self.control_ids = frozenset(
            id for token, id in controls.items() if self._names[token] != unknown
        )
        self.slot = f"{key}{len(controls):06}"
        self._tokenizer.add_special_tokens([AddedToken(self.slot, special=True, normalized=False)])
        self.slot_id: int = self.encode([self.slot])[0].ids[0]

    def named(self, frame: str) -> str:
        """The frame with its control tokens by their secret names."""
        return self._added.sub(lambda found: self._names.get(found[0], found[0]), frame)

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        return list(self._tokenizer.encode_batch(list(texts), add_special_tokens=False))


def mark_tags_special(tokenizer: PreTrainedTokenizerBase) -> None:
    """Publishers leave some of their control tokens unmarked, which are then read inside texts."""
    tags = [
        AddedToken(token.content, normalized=False, special=True)
        for token in tokenizer.added_tokens_decoder.values()
        if not token.special and TAG.fullmatch(token.content) and not WORD.fullmatch(token.content)
    ]
    if tags:
        tokenizer.backend_tokenizer.add_special_tokens(tags)


def _rename(model: dict[str, Any], names: dict[Any, str]) -> None:
    """Rename tokens in a model's vocabulary, in place, and drop the merges that would make them."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):
        model["vocab"] = [[names.get(token, token), score] for token, score in vocabulary]
        return
    renamed = names.keys() & vocabulary.keys()
    model["vocab"] = {names.get(token, token): id for token, id in vocabulary.items()}
    unknown = model.get("unk_token")
    model["unk_token"] = names.get(unknown, unknown)
    if renamed and model["type"] == "BPE":
        inner = model.get("continuing_subword_prefix") or ""
        model["merges"] = [
            (left, right)
            for left, right in model["merges"]
            if renamed.isdisjoint({left, right, left + right.removeprefix(inner)})
        ]


def _unknown(model: dict[str, Any]) -> str | None:
    """What a text's unknown characters become: the one special token that a text may give."""
    if model["type"] == "Unigram":
        return None if model["unk_id"] is None else str(model["vocab"][model["unk_id"]][0])
    return model.get("unk_token")
