"""Chat templates are programs of their publishers': the frame is found, or refused in one line."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.models import chat_frame, encoding
from pipeline.models.chat_frame import frame_of
from pipeline.models.encoding import Encoder

CHATML = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DATED = (
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "Today: {{ date_string }}\n{% for m in messages %}{{ m['content'] }}|{% endfor %}"
)
UNASKED = "{% set date_string = strftime_now('%Y') %}" + DATED.partition("{% endif %}")[2]
THINKING = (  # Qwen3's: a thought, if only an empty one, stands before what was answered
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>"
    "{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }}[/INST]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
UNKNOWN, ENDED = "<unk>", "</s>"
HOSTILE = {
    "loops": (
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", "longer",
    ),
    "reaches for python": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
    "is no template": ("{% for %}", "TemplateSyntaxError"),
    "raises": ("{{ raise_exception('no users') }}", "no users"),
    "drops the message": ("hello", "once and whole"),
    "says it twice": ("{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}", "once"),
}  # fmt: skip


@pytest.fixture
def encoder(encoder: Encoder, params: Params) -> Encoder:
    """One whose tokenizer a test may change."""
    return Encoder(copy.deepcopy(encoder.tokenizer), params.text)


def test_a_frame_with_a_system_prompt(encoder: Encoder) -> None:
    encoder.tokenizer.chat_template = CHATML
    opening, between, closing = frame_of(encoder.tokenizer).parts
    assert opening == "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n"
    assert between == "<|im_end|>\n<|im_start|>assistant\n"
    assert closing == "<|im_end|>\n"


@pytest.mark.parametrize("template", [CHATML, THINKING, GEMMA, MISTRAL])
def test_a_text_is_what_its_template_makes_of_a_turn(
    encoder: Encoder, params: Params, template: str
) -> None:
    """Up to the end of the answer, where `last` stands."""
    tokenizer = encoder.tokenizer
    marks = [AddedToken(f"<|im_{m}|>", special=True) for m in ("start", "end")]
    marks += [AddedToken(f"<{m}_of_turn>", special=True) for m in ("start", "end")]
    tokenizer.add_tokens(marks, special_tokens=True)
    tokenizer.chat_template = template
    own = Encoder(tokenizer, params.text)
    turn = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    whole = tokenizer.apply_chat_template(turn, tokenize=False)
    text = own("Why?", "So.")
    said = tokenizer.decode(text.ids)
    assert whole.startswith(said)
    assert whole[len(said) :].strip() == ""
    assert said.endswith(("<|im_end|>", "<end_of_turn>", "<|end|>"))
    prompt = tokenizer.decode(text.ids[: text.prompt_end + 1])
    assert prompt == tokenizer.apply_chat_template(
        turn[:1], tokenize=False, add_generation_prompt=True
    )


def test_control_tokens_that_are_not_marked_stay_text_too(encoder: Encoder, params: Params) -> None:
    encoder.tokenizer.add_tokens([AddedToken("</think>", special=False, normalized=False)])
    control = encoder.tokenizer.convert_tokens_to_ids("</think>")
    assert control in encoder.tokenizer.encode("a</think>b"), "the trap"
    own = Encoder(encoder.tokenizer, params.text)
    assert control not in own.contents("a</think>b")
    assert own.decode(own.contents("a</think>b")) == "a</think>b"


def test_sentencepiece_spaces_are_not_doubled(params: Params) -> None:
    """Contents bring a space of their own; one at the frame's end would be a second."""
    texts = ["Why not? So be it. [INST] Why not?"] * 9
    spm = Tokenizer(models.BPE(unk_token=UNKNOWN))
    spm.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    spm.decoder = decoders.Metaspace(prepend_scheme="always")
    special = [UNKNOWN, ENDED, "[INST]", "[/INST]"]
    spm.train_from_iterator(texts, trainers.BpeTrainer(special_tokens=special))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=spm, eos_token=ENDED, unk_token=UNKNOWN)
    tokenizer.chat_template = MISTRAL
    own = Encoder(tokenizer, params.text)
    pieces = tokenizer.convert_ids_to_tokens(list(own("Why not?", "So be it.").ids))
    assert "\u2581" not in pieces
    assert pieces[0] == "[INST]"
    assert pieces[-1] == "</s>"


@pytest.mark.parametrize("template", [DATED, UNASKED])
def test_a_frame_that_dates_itself_is_the_same_every_day(encoder: Encoder, template: str) -> None:
    """By a variable that may be given, or by a function that is asked without looking."""
    encoder.tokenizer.chat_template = template
    assert frame_of(encoder.tokenizer).parts == ("Today: 26 Jul 2024\n", "|", "|")


def test_a_base_model_without_a_template_gets_a_plain_one(encoder: Encoder, params: Params) -> None:
    encoder.tokenizer.chat_template = None
    plain = Encoder(encoder.tokenizer, params.text)
    assert plain.decode(plain("Why?", "So.").ids) == "User: Why?\nAssistant: So.<|end|>"


def test_without_a_token_of_its_own_a_placeholder_is_an_underscore(
    encoder: Encoder, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "SLOT", "<|unknown|>")
    plain = Encoder(encoder.tokenizer, params.text)
    assert plain.decode(plain.placeholder_prompt("Read: {message}", 3)).count("_") == 3
    with pytest.raises(InputError, match=r"asking\.question holds '_'"):
        plain.placeholder_prompt("Read_this: {message}", 3)


@pytest.mark.parametrize(("template", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_templates_are_one_line(
    encoder: Encoder, template: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_frame, "TEMPLATE_SECONDS", 0.3)
    encoder.tokenizer.chat_template = template
    with pytest.raises(InputError) as refused:
        frame_of(encoder.tokenizer)
    assert message in str(refused.value)


def test_want_of_memory_is_no_fault_of_a_template(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(type(encoder.tokenizer), "apply_chat_template", too_large)
    with pytest.raises(MemoryError):
        frame_of(encoder.tokenizer)


@given(text=st.text(max_size=40), tokens=st.integers(1, 12))
def test_a_cut_text_is_an_end_of_it_that_its_tokens_spell(
    encoder: Encoder, text: str, tokens: int
) -> None:
    first, last = (encoder.cut([text], kept)[0] for kept in (slice(tokens), slice(-tokens, None)))
    assert text.startswith(first)
    assert text.endswith(last) or not last.strip()
    if len(encoder.contents(text)) <= tokens:
        assert first == last
