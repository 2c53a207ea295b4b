"""A damaged embedding, or an overflow at some texts only, ends a run where it comes up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.core.records import Document, Example, Request
from pipeline.core.representations import RepresentationsFile
from pipeline.corpora.pairs import draw_pairs
from pipeline.inference.answer_extraction import read_streams
from pipeline.inference.extraction import extract
from pipeline.inference.fingerprint import signature_of
from pipeline.inference.generation import complete, likelihoods, openings
from pipeline.inference.live_monitor import judge_prompts
from pipeline.inference.pooled_scores import stored_states
from pipeline.models.building import new_model
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoder
from pipeline.models.lora import with_lora
from pipeline.models.reader_check import reader_for
from pipeline.monitors.answer_states import save_streams
from pipeline.monitors.saved import SavedMonitor
from pipeline.selfie.controls import example_states
from pipeline.training.finetune_data import FinetuneData
from pipeline.training.finetuning import finetune
from pipeline.training.objective import Objective

NEVER = Checkpoint(Path("nowhere"), "", every=0)
Damage = Callable[[str], str]


@pytest.fixture(params=[0, 1], ids=["embedding", "overflow"])
def layer(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def damage(model: PreTrainedModel, encoder: Encoder, layer: int) -> Damage:
    """From now on the model makes no numbers of a token of a text: by its embedding, or by an
    overflow in its first block. Returns the word for where that begins."""

    def of(text: str) -> str:
        token = encoder(text, "").ids[encoder(text, "").prompt_end // 2]
        if layer == 0:
            model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
            with torch.no_grad():
                model.get_input_embeddings().weight[token] = torch.nan
        else:
            seen: dict[str, Any] = {}

            def note(_: Any, args: Any, kwargs: Any) -> None:
                seen["hit"] = kwargs["input_ids"] == token

            def overflow(_: Any, __: Any, output: Any) -> Any:
                states = output[0] if isinstance(output, tuple) else output
                if states.shape[:2] == seen["hit"].shape:
                    states[seen["hit"]] = torch.inf
                return output

            model.model.register_forward_pre_hook(note, with_kwargs=True)
            model.model.layers[0].register_forward_hook(overflow)
        return f"its states at layer {layer} are not finite"

    return of


def test_extraction_names_text_and_layer(
    damage: Damage, model: PreTrainedModel, encoder: Encoder, params: Params,
    examples: list[Example], tmp_path: Path,
) -> None:  # fmt: skip
    chosen, words = examples[:6], damage(examples[3].prompt)
    wanted = params.extraction.model_copy(update={"positions": ("mean",)})
    texts = encoder.texts([(e.prompt, e.response) for e in chosen])
    names = tuple(e.id for e in chosen)
    width = model.config.hidden_size
    space = RepresentationsFile(
        tmp_path / "x", wanted.layers, wanted.positions, names, names, names, width
    )
    with pytest.raises(InputError, match=f"text {names[3]}: {words}"):
        extract(model, encoder, texts, wanted, space, NEVER)


def test_likelihoods_name_text_and_layer(
    damage: Damage, model: PreTrainedModel, encoder: Encoder, params: Params,
    documents: list[Document],
) -> None:  # fmt: skip
    torch.manual_seed(1)
    whole = new_model(params.model.embedded, encoder.tokenizer).eval()
    words = damage(documents[1].prompt)
    for tuned, untouched in ((model, whole), (whole, model)):
        for of in (likelihoods, openings):
            with pytest.raises(InputError, match=words) as refused:
                of(tuned, untouched, encoder, documents[:4], 100)
            named = [d for d in documents[:4] if f"text {d.id}:" in str(refused.value)]
            with pytest.raises(InputError, match=f"text {named[0].id}: {words}"):
                of(tuned, untouched, encoder, named, 100)


def test_completions_name_the_request(
    damage: Damage, model: PreTrainedModel, encoder: Encoder, params: Params,
    examples: list[Example],
) -> None:  # fmt: skip
    damage(examples[0].prompt)
    asked = [Request(e.id, e.prompt, False, False, "test") for e in examples[:1]]
    with pytest.raises(InputError, match=f"request {asked[0].id}: the logits of its answer"):
        complete(model, encoder, asked, params.generation, seed=0)


def test_running_answers_name_text_and_layer(
    damage: Damage, model: PreTrainedModel, encoder: Encoder, examples: list[Example], layer: int,
    tmp_path: Path,
) -> None:  # fmt: skip
    words, own = damage(examples[0].prompt), examples[0]
    texts = encoder.unended([(own.prompt, own.response)])
    streams = read_streams(model, texts, [(own.id, 0)], layer, tokens_per_batch=1)
    with pytest.raises(InputError, match=f"text {own.id}: {words}"):
        save_streams(tmp_path / "streams", streams)
    with pytest.raises(InputError, match=f"text {own.id}: {words}"):
        stored_states(model, encoder, [own], layer, 1, tmp_path / "states")
    with pytest.raises(InputError, match=words):
        example_states(model, encoder, [own], [layer], ["mean"], 2)


def test_a_monitor_raises_no_silent_all_clear(
    model: PreTrainedModel, encoder: Encoder, damage: Damage, layer: int, examples: list[Example]
) -> None:
    width = model.config.hidden_size
    monitor = SavedMonitor(
        "logistic", "base", ("harmful", "safe"), ("safe",), layer, "mean", 0.5,
        {}, np.zeros(width), np.ones((2, width)), np.zeros(2), signature_of(model, layer).numpy(),
    )  # fmt: skip
    assert judge_prompts(model, encoder, monitor, [examples[0].prompt])
    words = damage(examples[0].prompt)
    with pytest.raises(InputError, match=words):
        judge_prompts(model, encoder, monitor, [examples[0].prompt])


def test_a_finetune_blames_the_model_and_not_the_learning_rate(
    damage: Damage, model: PreTrainedModel, encoder: Encoder, params: Params,
    examples: list[Example], documents: list[Document],
) -> None:  # fmt: skip
    pairs = draw_pairs(examples, "given", "balanced", params.pairs, seed=0)
    data = FinetuneData({e.id: e for e in examples}, pairs, documents)
    adapted = with_lora(model, params.finetune)
    variant = params.variants["sft_contrast"]
    objective = Objective(adapted, encoder, params.finetune, variant, params.asking)
    words = damage(data.examples[pairs[0].first].prompt)
    with pytest.raises(InputError, match=f"text .*: {words}"):
        finetune(objective, data, params.finetune, 0, NEVER)


def test_a_damaged_row_that_the_head_shares_is_found_before_any_text(
    model: PreTrainedModel, encoder: Encoder
) -> None:
    with torch.no_grad():
        model.get_input_embeddings().weight[399] = torch.nan
    with pytest.raises(InputError, match="logits of token 399 are not finite"):
        reader_for(model, encoder.longest)
