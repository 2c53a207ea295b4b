"""Texts become tokens with named positions; models and adapters are stored byte for byte."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedModel

from pipeline.models.building import ASSISTANT, END, USER, on_device
from pipeline.models.encoding import Encoder, token_batches
from pipeline.models.hooks import decoder_blocks

CPU = torch.device("cpu")


@given(st.text(max_size=60))
def test_any_text_survives_the_tokenizer(encoder: Encoder, text: str) -> None:
    assert encoder.decode(encoder.contents(text)) == text


def test_positions_stand_where_they_say(encoder: Encoder) -> None:
    encoded = encoder("Explain rain.", "It falls.")
    said = [encoder.decode([token]) for token in encoded.ids]
    assert said[encoded.prompt_end] == ASSISTANT  # the next token is the answer's first
    assert said[encoded.last] == END
    assert encoded.last == len(encoded.ids) - 1
    assert encoder.decode(encoded.ids[encoded.prompt_end + 1 : -1]) == "It falls."


def test_a_prompt_alone_ends_at_its_end(encoder: Encoder) -> None:
    encoded = encoder("Explain rain.", "")
    assert encoded.prompt_end == encoded.last == len(encoded.ids) - 1


def test_the_frame_is_the_tokenizers_own_template(encoder: Encoder) -> None:
    messages = [{"role": "user", "content": "Explain rain."}]
    rendered = encoder.tokenizer.apply_chat_template(
        messages, tokenize=True, add_generation_prompt=True, return_dict=False
    )
    assert list(encoder("Explain rain.", "").ids) == rendered


def test_a_control_token_inside_a_text_stays_text(encoder: Encoder) -> None:
    encoded = encoder(f"say {END} now", "ok")
    assert encoded.ids.count(encoder.end[0]) == 2  # the template's own two


def test_long_texts_lose_the_prompts_beginning_and_the_answers_end(encoder: Encoder) -> None:
    encoded = encoder("a b " * 500, "c d " * 500)
    asked = encoder.contents("a b " * 500)[-encoder.text.prompt_tokens :]
    said = encoder.contents("c d " * 500)[: encoder.text.response_tokens]
    assert encoder.decode(encoded.ids) == (
        f"{USER}{encoder.decode(asked)}{END}{ASSISTANT}{encoder.decode(said)}{END}"
    )
    assert len(encoded.ids) == len(asked) + len(said) + 4 == encoder.longest


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 100))
def test_token_batches_hold_every_text_once_within_the_budget(
    encoder: Encoder, lengths: list[int], tokens: int
) -> None:
    texts = [encoder("x " * length, "") for length in lengths]
    batches = list(token_batches(texts, tokens))
    assert sorted(i for batch in batches for i in batch) == list(range(len(texts)))
    for batch in batches:
        longest = max(len(texts[i].ids) for i in batch)
        assert len(batch) == 1 or len(batch) * longest <= tokens


def test_mean_counts_real_tokens_only(encoder: Encoder) -> None:
    batch = encoder.batch([encoder("a", ""), encoder("a much longer text", "with an answer")])
    hidden = torch.randn(*batch.ids.shape, 3)
    hidden[batch.mask == 0] = 1e6
    length = int(batch.mask[0].sum())
    assert torch.allclose(batch.at(hidden, "mean")[0], hidden[0, :length].mean(0), atol=1e-6)


def test_decoder_of_another_shape_is_refused(model: PreTrainedModel) -> None:
    model.config.num_hidden_layers = 7
    with pytest.raises(ValueError, match="list of 7 blocks"):
        decoder_blocks(model)


def test_a_model_in_half_precision_reads_long_prompts_on_any_processor(
    model: PreTrainedModel,
) -> None:
    """Where the processor has AMX, torch's flash kernel fails, as it is held to AVX2."""
    tokens = torch.arange(96)[None] % model.config.vocab_size
    with torch.no_grad():
        wanted = model(tokens).logits
        half = on_device(model.to(torch.bfloat16), CPU)
        found = half(tokens).logits.float()
    assert (found - wanted).norm() < 0.05 * wanted.norm()


def test_attention_is_chosen_anew_for_every_model(
    model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    attend = torch.nn.functional.scaled_dot_product_attention

    def fails_in_half(query: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        if query.dtype == torch.bfloat16:
            raise RuntimeError("only supported when avx512 is supported")
        return attend(query, *others)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", fails_in_half)
    chosen = {}
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        on_device(model.to(dtype), CPU)
        chosen[dtype] = torch.backends.cuda.flash_sdp_enabled()
    assert chosen == {torch.float32: True, torch.bfloat16: False, torch.float64: True}
