"""A publisher's files are read for what they may decide, and refused in one line where they lie."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, PreTrainedModel

from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.core.records import Request
from pipeline.inference.generation import complete
from pipeline.inference.monitor_cli import sample_answer
from pipeline.models.building import prepare
from pipeline.models.encoding import Encoder
from pipeline.models.external_base import adopt, load_folder
from pipeline.models.generating import generate
from pipeline.models.loading import card_of, load_base
from pipeline.models.lora import with_lora
from pipeline.models.published import ends_in, refusing, theirs
from tests.support.model_folders import Change, edit_config, edit_json

CPU = torch.device("cpu")
GENERATION = "generation_config.json"
KERNEL = "kernels-community/flash-attn"


def normaliser(settings: object) -> Change:
    return edit_json("tokenizer.json", lambda tree: tree.update(normalizer=settings))


def index(**values: object) -> Change:
    return edit_json("model.safetensors.index.json", lambda tree: tree.update(values))


def tokenizer(**values: object) -> Change:
    return edit_json("tokenizer_config.json", lambda tree: tree.update(values))


def without_tokens(tree: Any) -> None:
    tree["model"] |= {"vocab": {}, "merges": []}


HOSTILE: dict[str, tuple[Change, str]] = {
    "endless layers": (
        edit_config(num_hidden_layers=10**9), "num_hidden_layers is 1000000000, and the weights",
    ),
    "endless layers within": (
        edit_config(text_config={"n_layer": 10**9}), "text_config.n_layer is 1000000000, and",
    ),
    "an endless vocabulary": (edit_config(vocab_size=10**12), "vocab_size is 1000000000000, and"),
    "endless experts": (edit_config(num_experts=10**9), "num_experts is 1000000000, and"),
    "no width": (edit_config(hidden_size=0), "hidden_size is 0, where a number from 1 is needed"),
    "fewer tokens than none": (edit_config(vocab_size=-4), "vocab_size is -4, where"),
    "a width in words": (edit_config(hidden_size="big"), "damaged"),
    "no heads": (edit_config(num_attention_heads=0, head_dim=None), "damaged"),
    "another rotation": (
        edit_config(rope_parameters={"rope_type": "evil", "rope_theta": 1.0}), "cannot be loaded",
    ),
    "another activation": (edit_config(hidden_act="evil"), "cannot be loaded"),
    "another library's weights": (
        edit_config(quantization_config={"quant_method": "gptq", "bits": 4}),
        "cannot be read: its weights are quantised (gptq), which only GGUF files may be",
    ),
    "weights of 4 bits": (
        edit_config(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
        "quantised (bitsandbytes)",
    ),
    "quantised within": (
        edit_config(text_config={"quantization_config": "x"}), "quantised (quantization_config)",
    ),
    "a type as a dict": (edit_config(model_type={"a": 1}), "damaged"),
    "a number as its type": (edit_config(dtype="float999"), "damaged"),
    "settings without names": (edit_json("config.json", lambda _: [1]), "no settings by name"),
    "nested without end": (lambda f: (f / "config.json").write_text("[" * 10**5), "damaged"),
    "an end that is no token": (
        edit_json(GENERATION, lambda _: {"eos_token_id": [3, 10**6]}), "it uses token 1000000",
    ),
    "padding that is no token": (edit_config(pad_token_id=10**6), "cannot be loaded"),
    "a token without an embedding": (
        edit_json("tokenizer.json", lambda tree: tree["model"]["vocab"].update(zzzz=10**6)),
        "it uses token 1000000 ('zzzz'), and the model embeds 400 tokens",
    ),
    "no token": (edit_json("tokenizer.json", without_tokens), "cannot be read"),
    "a normaliser that panics at once": (
        normaliser({"type": "Precompiled", "precompiled_charsmap": "AAAA"}), "RuntimeError: Precom",
    ),
    "a normaliser that panics at a text": (
        normaliser({"type": "Precompiled", "precompiled_charsmap": "AAAAAAAA"}), "out of bounds",
    ),
    "a tokenizer of pages": (tokenizer(tokenizer_class="LayoutLMv3TokenizerFast"), "bounding"),
    "a tokenizer of tables": (tokenizer(tokenizer_class="TapasTokenizer"), "damaged"),
    "a tokenizer by number": (tokenizer(tokenizer_class=5), "damaged"),
    "padding on no side": (tokenizer(padding_side="evil"), "damaged"),
    "an index of nothing": (index(weight_map=[1]), "damaged"),
    "an index that is a list": (
        edit_json("model.safetensors.index.json", lambda _: [1]), "damaged",
    ),
    "weights from elsewhere": (edit_config(transformers_weights="../x"), "cannot be loaded"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), HOSTILE.values(), ids=HOSTILE)
def test_faults_a_hostile_repository_is_refused_in_one_line_within_seconds(
    tmp_path: Path, wanted: Params, mine: Path, change: Change, message: str,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    change(mine)
    prepare(wanted.runtime)
    capfd.readouterr()
    start = time.monotonic()
    with pytest.raises(InputError) as refused:
        adopt(tmp_path / "base", wanted)
    assert time.monotonic() - start < 10
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr().err == "", "nor does a library print anything"
    assert not card_of(tmp_path / "base").exists()


HARMLESS: dict[str, Change] = {
    "endless labels": edit_config(num_labels=10**9),
    "many labels": edit_config(id2label={str(number): "x" for number in range(10**5)}),
    "architectures as a dict": edit_config(architectures={"a": 1}),
    "attention by a hub's kernel": edit_config(attn_implementation=KERNEL),
    "attention by a kernel, privately": edit_config(_attn_implementation=KERNEL),
    "attention by a kernel, within": edit_config(_attn_implementation_internal=KERNEL),
    "attention of another kind": edit_config(_attn_implementation="eager"),
    "experts of another kind": edit_config(experts_implementation="evil"),
    "attention that is kept": edit_config(output_attentions=True, output_hidden_states=True),
    "sampling in the config": edit_config(temperature=3.0, repetition_penalty=9.0),
    "generation as a list": edit_json(GENERATION, lambda _: [1, 2]),
    "generation as text": edit_json(GENERATION, lambda _: "x"),
    "unknown generation": edit_json(GENERATION, lambda _: {"watermarking_config": {"evil": 1}}),
    "text for an end": edit_json(GENERATION, lambda _: {"eos_token_id": "x"}),
    "metadata that is text": index(metadata="text", weight_map={"a": "model.safetensors"}),
    "a control token beyond": edit_json(
        "tokenizer.json",
        lambda tree: tree["added_tokens"].append(
            {"id": 400, "content": "<picture>", "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": False, "special": True}
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
@torch.no_grad()
def test_faults_what_is_not_a_publishers_to_decide_changes_nothing(
    tmp_path: Path, wanted: Params, mine: Path, model: PreTrainedModel, change: Change,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    change(mine)
    prepare(wanted.runtime)
    capfd.readouterr()
    adopt(tmp_path / "base", wanted)
    assert capfd.readouterr().err == ""
    ids = torch.tensor([[5, 6, 7]])
    for loaded, _ in (load_base(tmp_path / "base", CPU), load_folder(mine)):
        assert torch.equal(loaded(ids).logits, model(ids).logits)
        assert loaded.config._attn_implementation == model.config._attn_implementation
        assert loaded.generation_config.to_diff_dict().keys() <= {
            "eos_token_id", "transformers_version",
        }  # fmt: skip


# What publishers ship: each alone would change what is sampled.
SAMPLED = {
    "suppress_tokens": [7, 8, 9], "repetition_penalty": 5.0, "top_p": 0.01, "top_k": 1,
    "no_repeat_ngram_size": 1, "min_new_tokens": 4, "temperature": 0.01, "do_sample": False,
    "bad_words_ids": [[5]], "forced_eos_token_id": 4, "begin_suppress_tokens": [10],
    "num_beams": 2, "guidance_scale": 3.0, "renormalize_logits": True,
}  # fmt: skip


@pytest.mark.parametrize("adapted", [False, True])
@torch.no_grad()
def test_faults_how_a_publisher_samples_changes_no_answer(
    model: Any, encoder: Encoder, params: Params, adapted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor where a model was loaded with it, and an adapter lies around it."""
    monkeypatch.setattr("pipeline.inference.monitor_cli.watching", _unwatched)
    settings = params.generation.model_copy(update={"max_new_tokens": 8})
    requests = [
        Request(id=text, prompt=text, harmful=False, framed=False, split="test")
        for text in ("Say it.", "Tell me of bread, and how.")
    ]
    model.generation_config = GenerationConfig(eos_token_id=3)
    used: Any = with_lora(model, params.finetune).eval() if adapted else model

    def answers() -> tuple[object, ...]:
        done = complete(used, encoder, requests, settings, seed=5)
        return done, sample_answer(used, encoder, None, "Say it.", 8)[0]  # type: ignore[arg-type]

    plain = answers()
    published = GenerationConfig(eos_token_id=3, **SAMPLED)
    model.generation_config = published
    assert answers() == plain
    assert model.generation_config is published, "it is left as it was"
    torch.manual_seed(0)
    ids = torch.tensor([[5, 6, 7]])
    asked = GenerationConfig(max_new_tokens=8, pad_token_id=0)
    theirs_too = model.generate(ids, generation_config=asked)
    assert theirs_too.tolist() != generate(model, ids, asked).tolist(), "or the test is in vain"


class _unwatched:  # noqa: N801 - stands for a context
    def __init__(self, *_: object, **__: object) -> None: ...
    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None: ...
    def judgements(self) -> list[object]:
        return []


def test_what_is_read_of_a_generation_config() -> None:
    assert ends_in({"eos_token_id": 3, "top_p": 0.1}) == [3]
    assert ends_in({"eos_token_id": [3, "x", True, 4]}) == [3, 4]
    for nothing in ({}, [3], "x", None, {"eos_token_id": "3"}, {"eos_token_id": []}):
        assert ends_in(nothing) is None


def test_a_config_keeps_all_that_describes_the_model(model: PreTrainedModel) -> None:
    config = json.loads(model.config.to_json_string())
    gone = config.keys() - theirs(config).keys()
    assert gone <= {"id2label", "label2id", "output_hidden_states", "output_attentions",
                    "return_dict", "problem_type"}  # fmt: skip
    assert theirs({"a": [{"attn_implementation": "x", "b": 1}]}) == {"a": [{"b": 1}]}


def test_only_an_interruption_is_no_fault_of_a_publisher() -> None:
    for error in (KeyboardInterrupt, MemoryError, SystemExit):
        with pytest.raises(error), refusing("it"):
            raise error
    with pytest.raises(InputError, match=r"^it cannot be read without"), refusing("it"):
        raise AssertionError
    with pytest.raises(InputError, match=r"^mine$"), refusing("it"):
        raise InputError("mine")
