"""Chat templates as publishers write them, and small tokenizers of their kinds."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import PreTrainedTokenizerFast

EACH = "{% for m in messages %}"
ASKED, SAID = "{% if m.role == 'user' %}", "{% else %}"
DONE = "{% endif %}{% endfor %}"
GOES_ON = "{% if add_generation_prompt %}"
TEMPLATES: dict[str, str | None] = {
    "none": None,
    "ChatML": EACH + "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    + GOES_ON + "<|im_start|>assistant\n{% endif %}",
    "ChatML with a system prompt": "<|im_start|>system\nBe kind.<|im_end|>\n" + EACH
    + "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    + GOES_ON + "<|im_start|>assistant\n{% endif %}",
    "Qwen 3": EACH + "<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "<think>\n\n</think>\n\n{% endif %}{{ m.content.lstrip('\\n') }}<|im_end|>\n{% endfor %}"
    + GOES_ON + "<|im_start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}"
    "<think>\n\n</think>\n\n{% endif %}{% endif %}",
    "Llama 2": EACH + ASKED + "{{ bos_token }}[INST] {{ m.content | trim }} [/INST]" + SAID
    + " {{ m.content | trim }} {{ eos_token }}" + DONE,
    "Llama 3": "{{ bos_token }}" + EACH + "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    + GOES_ON + "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
    "Mistral": "{{ bos_token }}" + EACH + ASKED + "[INST] {{ m.content }}[/INST]" + SAID
    + " {{ m.content }}{{ eos_token }}" + DONE,
    "Mistral, without spaces": "{{ bos_token }}" + EACH + ASKED + "[INST]{{ m.content }}[/INST]"
    + SAID + "{{ m.content }}{{ eos_token }}" + DONE,
    "Vicuna": "{{ bos_token }}A chat. " + EACH + ASKED + "USER: {{ m.content.strip() }} " + SAID
    + "ASSISTANT: {{ m.content.strip() }}{{ eos_token }}\n" + DONE
    + GOES_ON + "ASSISTANT:{% endif %}",
    "Vicuna, asked with a space": EACH + ASKED + "USER: {{ m.content }} " + SAID
    + "ASSISTANT: {{ m.content }}{{ eos_token }}" + DONE + GOES_ON + "ASSISTANT: {% endif %}",
    "Phi 3": EACH + ASKED + "<|user|>\n" + SAID + "<|assistant|>\n{% endif %}"
    "{{ m.content }}<|end|>\n{% endfor %}"
    + GOES_ON + "<|assistant|>\n{% endif %}",
    "Zephyr": EACH + "{{ '|' + m.role + '|\n' + m.content + eos_token + '\n' }}{% endfor %}"
    + GOES_ON + "|assistant|\n{% endif %}",
    "Gemma": "{{ bos_token }}" + EACH + "<start_of_turn>"
    "{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n"
    "{% endfor %}" + GOES_ON + "<start_of_turn>model\n{% endif %}",
    "Alpaca": EACH + ASKED + "### Instruction:\n{{ m.content }}\n\n" + SAID
    + "### Response:\n{{ m.content }}{{ eos_token }}" + DONE
    + GOES_ON + "### Response:\n{% endif %}",
    "Falcon": EACH + ASKED + "User: {{ m.content.rstrip() }}\n\n" + SAID
    + "Falcon: {{ m.content }}\n" + DONE + GOES_ON + "Falcon:{% endif %}",
    "DeepSeek": "{{ bos_token }}" + EACH + ASKED + "User: {{ m.content }}\n\n" + SAID
    + "Assistant: {{ m.content }}{{ eos_token }}" + DONE + GOES_ON + "Assistant:{% endif %}",
    "gpt-oss": EACH + ASKED + "<|start|>user<|message|>{{ m.content }}<|end|>" + SAID
    + "<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|end|>" + DONE
    + GOES_ON + "<|start|>assistant{% endif %}",
    "bare": EACH + "{{ m.content }}{{ eos_token }}{% endfor %}",
}  # fmt: skip
REFUSED: dict[str, tuple[str, str]] = {
    "opens a thought that a turn has not": (
        EACH + "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        + GOES_ON + "<|im_start|>assistant\n<think>\n{% endif %}",
        "asks for an answer otherwise than it shows one",
    ),
    "title case": (EACH + "[{{ m.content | title }}]{% endfor %}", "as they are written"),
    "joins lines": (
        EACH + "{{ m.content | replace('\n', ' ') }}|{% endfor %}", "as they are written",
    ),
    "shows a prompt twice": (EACH + "{{ m.content }}{{ m.content }}{% endfor %}", "once and whole"),
    "shows nothing": ("hello", "once and whole"),
}  # fmt: skip
BOS, EOS, UNKNOWN = "<s>", "</s>", "<unk>"
SPECIAL: dict[str, Any] = {"special_tokens": [UNKNOWN], "show_progress": False}
# What publishers mark as control tokens, and how: special or not, with the spaces before and after.
CONTROLS: dict[str, dict[str, bool]] = {
    BOS: {}, EOS: {}, UNKNOWN: {}, "<|im_start|>": {}, "<|im_end|>": {}, "<|eot_id|>": {},
    "<|start_header_id|>": {}, "<|end_header_id|>": {}, "[INST]": {}, "[/INST]": {},
    "<|user|>": {"rstrip": True}, "<|assistant|>": {"rstrip": True}, "<|end|>": {"rstrip": True},
    "<start_of_turn>": {}, "<end_of_turn>": {}, "<|start|>": {}, "<|message|>": {},
    "<|channel|>": {}, "<think>": {"special": False}, "</think>": {"special": False},
}  # fmt: skip
PLAIN = ("<b>", "</b>", "<h1>", "<table>")  # words that some tokenizers keep whole
SAMPLE = [
    "A chat. USER: Why is the sea salt? ASSISTANT: So it is.\n\n### Instruction:\nHow do I bake?",
    "User: How?\n\nAssistant: I say so.\n\nFalcon: Because  of\nrain.\n\n### Response:\nmodel",
    "system\nBe kind. So be it, I say. No: 12 times.\n\n\nWhy not?\n user\n assistant\n\n final",
]  # fmt: skip


def byte_level(words: pre_tokenizers.PreTokenizer) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = words
    made.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, **SPECIAL)
    return _trained(made, trainer)


def gpt2() -> Tokenizer:
    """Line breaks before a word are split from those at a text's end."""
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))


def llama3() -> Tokenizer:
    """Line breaks stay together."""
    words = (
        r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    split = pre_tokenizers.Split(Regex(words), "isolated")
    return byte_level(
        pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    )


def sentencepiece() -> Tokenizer:
    """Byte-pair merges, bytes for unknown characters, and a space before each stretch of text."""
    made = Tokenizer(models.BPE(unk_token=UNKNOWN))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    state = json.loads(_trained(made, trainers.BpeTrainer(vocab_size=150, **SPECIAL)).to_str())
    vocabulary = state["model"]["vocab"]
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    state["model"] |= {"byte_fallback": True, "fuse_unk": True}
    made = Tokenizer.from_str(json.dumps(state | {"pre_tokenizer": None}))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    made.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return made


def unigram() -> Tokenizer:
    """SentencePiece as newer models have it: a space before the whole text alone."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.UnigramTrainer(vocab_size=120, unk_token=UNKNOWN, **SPECIAL)
    return _trained(made, trainer)


def wordpiece() -> Tokenizer:
    made = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    return _trained(made, trainers.WordPieceTrainer(vocab_size=200, **SPECIAL))


def _trained(made: Tokenizer, trainer: trainers.Trainer) -> Tokenizer:
    made.train_from_iterator(SAMPLE * 3, trainer)
    return made


KINDS = {
    "byte-level BPE": gpt2,
    "byte-level BPE of Llama 3": llama3,
    "SentencePiece": sentencepiece,
    "SentencePiece, Unigram": unigram,
    "WordPiece": wordpiece,
}


@cache
def _trained_once(kind: str) -> str:
    return str(KINDS[kind]().to_str())


def tokenizer_of(
    kind: str, template: str | None, names: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """A tokenizer with CONTROLS, which have these names in it and in its template.

    The ids are those of any other names: what a template makes of a text that speaks of control
    tokens is seen where the control tokens are named otherwise.
    """
    named = dict(zip(CONTROLS, names or CONTROLS, strict=True))
    made = Tokenizer.from_str(_trained_once(kind).replace(UNKNOWN, named[UNKNOWN]))
    for own, how in CONTROLS.items():
        token = AddedToken(named[own], **{"special": True, "normalized": False, **how})
        made.add_special_tokens([token]) if token.special else made.add_tokens([token])
    made.add_tokens(list(PLAIN))
    for own, name in named.items():
        template = template and template.replace(own, name)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=named[BOS], eos_token=named[EOS],
        unk_token=named[UNKNOWN], pad_token=named[EOS],
    )  # fmt: skip
    tokenizer.chat_template = template
    return tokenizer
