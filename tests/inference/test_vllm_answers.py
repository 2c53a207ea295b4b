"""vLLM is asked by its own names for what transformers' generation gives; a stand-in takes its
place, which knows no other names."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.core.paths import (
    ADAPTERS,
    BASE_CARD,
    BASE_MODEL,
    CONTRASTED,
    GREEDY,
    SAFE_CONTRASTS,
    SAMPLED,
    UNFINISHED,
)
from pipeline.core.paths import REQUESTS as REQUESTS_FILE
from pipeline.core.records import Request, write_records
from pipeline.inference.generation import complete, complete_greedily
from pipeline.inference.vllm_answers import LORA_RANKS, vllm_serving
from pipeline.models import distributed
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoder
from pipeline.models.loading import load_base, load_variant, save_trained
from pipeline.models.lora import save_adapter, with_lora
from stages.completions import Answering, answered_by_vllm
from tests.support import vllm_stand_in
from tests.support.tiny import move
from tests.support.vllm_stand_in import LLM

REQUESTS = [
    Request(f"r{n}", prompt, False, False, "test")
    for n, prompt in enumerate(["Explain rain.", "Why?", "Tell me all about the sea, please."])
]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, module in vllm_stand_in.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    LLM.made.clear()
    yield
    LLM.made.clear()


@pytest.fixture
def stored(tmp_path: Path, model: PreTrainedModel, encoder: Encoder, params: Params) -> Path:
    """A folder with a base model, an adapter that has moved and one that has not."""
    save_trained(tmp_path / "base", model, encoder.tokenizer, params.model)
    for name in ("still", "moved"):
        base, _ = load_base(tmp_path / "base", torch.device("cpu"))
        adapted = with_lora(base, params.finetune)
        save_adapter(tmp_path / name, move(adapted) if name == "moved" else adapted)
    return tmp_path


def test_greedy_answers_are_those_of_transformers(
    installed: None, stored: Path, encoder: Encoder, params: Params
) -> None:
    """With every variant's own adapter, in one engine."""
    found = {}
    with vllm_serving(stored / "base", encoder, 3, params.finetune.lora_rank, 1, 0) as answerer:
        for name in ("still", "moved", "still"):
            asked = (answerer(stored / name), encoder, REQUESTS, params.generation)
            found[name] = complete_greedily(*asked)
    (engine,) = LLM.made
    assert [name for _, name in engine.asked] == ["still", "moved", "still"]
    for name, answers in found.items():
        model, _ = load_variant(stored / "base", stored / name, torch.device("cpu"))
        assert answers == complete_greedily(model, encoder, REQUESTS, params.generation)
    assert found["still"] != found["moved"]


def test_the_engine_is_told_what_decides_its_answers(
    installed: None, stored: Path, encoder: Encoder, params: Params
) -> None:
    """It takes the model's files alone, and nothing of its publisher's sampling."""
    with vllm_serving(stored / "base", encoder, 3, 9, 2, 7) as answerer:
        complete_greedily(answerer(stored / "moved"), encoder, REQUESTS, params.generation)
        (engine,) = LLM.made
        held = {path.name for path in Path(engine.folder).iterdir()}
    assert {"config.json", "model.safetensors"} <= held
    assert engine.wanted["generation_config"] == "vllm"
    assert engine.wanted["tensor_parallel_size"] == 2
    assert (engine.wanted["max_lora_rank"], engine.wanted["seed"]) == (16, 7)
    assert engine.wanted["dtype"] == "float32"
    assert tuple(vllm_stand_in.RANKS) == LORA_RANKS


def test_samples_are_drawn_apart_and_the_same_again(
    installed: None, stored: Path, encoder: Encoder, params: Params
) -> None:
    """Each sample of each request has draws of its own, whatever prompts stand beside it."""
    several = params.generation.model_copy(update={"samples": 3, "max_new_tokens": 4})
    twice = [REQUESTS[0], Request("again", REQUESTS[0].prompt, False, False, "test")]
    with vllm_serving(stored / "base", encoder, 4, params.finetune.lora_rank, 1, 0) as answerer:
        model = answerer(stored / "moved")
        answers = complete(model, encoder, twice, several, seed=0)
        assert complete(model, encoder, twice, several, seed=0) == answers
        assert complete(model, encoder, twice, several, seed=1) != answers
    assert [(a.request, a.sample) for a in answers] == [(r.id, n) for r in twice for n in range(3)]
    assert len({answer.text for answer in answers}) > 3


def test_a_killed_run_asks_no_prompt_again(
    installed: None, stored: Path, encoder: Encoder, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = params.generation.model_copy(update={"samples": 2, "prompts_per_batch": 1})
    checkpoint = Checkpoint(stored / "kept.safetensors", "this run", every=1)
    with vllm_serving(stored / "base", encoder, 3, params.finetune.lora_rank, 1, 0) as answerer:
        model = answerer(stored / "moved")
        whole = complete(model, encoder, REQUESTS, each, 0)
        (engine,) = LLM.made
        generate, engine.asked = engine.generate, []

        def killed(*args: object, **kwargs: object) -> object:
            if len(engine.asked) == 2:
                raise KeyboardInterrupt
            return generate(*args, **kwargs)  # type: ignore[arg-type]

        monkeypatch.setattr(engine, "generate", killed)
        with pytest.raises(KeyboardInterrupt):
            complete(model, encoder, REQUESTS, each, 0, checkpoint)
        monkeypatch.setattr(engine, "generate", generate)
        engine.asked = []
        assert complete(model, encoder, REQUESTS, each, 0, checkpoint) == whole
        assert engine.asked == [(1, "moved")]


def test_without_vllm_one_line_names_the_extra(
    stored: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    line = r"generation\.engine is vllm, which does not load .*; pip install '\.\[vllm\]'"
    with (
        pytest.raises(InputError, match=line),
        vllm_serving(stored / "base", encoder, 3, 4, 1, 0),
    ):
        pass


def test_what_vllm_refuses_is_one_line(
    installed: None, stored: Path, encoder: Encoder, params: Params
) -> None:
    """Here an adapter of a higher rank than was announced."""
    with vllm_serving(stored / "base", encoder, 3, 1, 1, 0) as answerer:
        model = answerer(stored / "moved")
        with pytest.raises(InputError, match=r"vLLM cannot answer .*LoRA rank 2 .*transformers"):
            complete_greedily(model, encoder, REQUESTS, params.generation)


def test_the_stage_has_all_variants_answered_by_one_engine(
    installed: None,
    tmp_path: Path,
    stored: Path,
    encoder: Encoder,
    params: Params,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for kept in (UNFINISHED, ADAPTERS, REQUESTS_FILE.parent):
        kept.mkdir(parents=True)
    for path, home in {"base": BASE_MODEL, "base.json": BASE_CARD, "still": ADAPTERS / "base",
                       "moved": ADAPTERS / "sft_contrast"}.items():  # fmt: skip
        (stored / path).rename(home)
    write_records(REQUESTS_FILE, REQUESTS)
    write_records(SAFE_CONTRASTS, REQUESTS[:1])
    asking = Answering(params, encoder, REQUESTS, REQUESTS[:1], torch.device("cpu"))
    said = answered_by_vllm(asking)
    assert list(said) == list(params.variants) == ["base", "sft_contrast"]
    assert [len(engine.asked) for engine in LLM.made] == [6]
    answers = said["sft_contrast"]
    assert [a.request for a in answers[SAMPLED]] == ["r0", "r1", "r2"]
    assert [a.request for a in answers[GREEDY]] == ["r0", "r1", "r2"]
    assert [a.request for a in answers[CONTRASTED]] == ["r0"]
    assert answers[GREEDY] != said["base"][GREEDY]
    monkeypatch.setattr(distributed, "count", lambda: 2)
    with pytest.raises(InputError, match="start this stage without a launcher"):
        answered_by_vllm(asking)


def test_the_stand_in_takes_no_name_that_vllm_lacks() -> None:
    with pytest.raises(AssertionError, match="max_rank"):
        LLM("folder", max_rank=8)
    with pytest.raises(TypeError, match="max_new_tokens"):
        vllm_stand_in.SamplingParams(max_new_tokens=3)  # type: ignore[call-arg]
