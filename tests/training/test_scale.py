"""States are contrasted raw, or standardised by what the frozen model makes of training texts."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.core.records import Document, Example
from pipeline.corpora.pairs import draw_pairs
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.fused_lora import switched_off
from pipeline.models.lora import with_lora
from pipeline.training import losses, scale
from pipeline.training.finetune_data import FinetuneData
from pipeline.training.finetuning import finetune
from pipeline.training.objective import Objective
from pipeline.training.scale import scale_of, standardise
from pipeline.training.step import StepTexts
from tests.support.tiny import move

PAIRS = 4
LABELS = torch.arange(PAIRS) % 2
MASSIVE = 300.0


def texts_of(encoder: Encoder, examples: list[Example]) -> list[Encoded]:
    return encoder.texts([(e.prompt, e.response) for e in examples])


def objective_of(
    params: Params, encoder: Encoder, model: PreTrainedModel, **finetuning: object
) -> Objective:
    chosen = params.finetune.model_copy(update=finetuning)
    alone = {"retain_weight": 0.0, "penalty_weight": 0.0, "response_weight": 0.0}
    variant = params.variants["sft_contrast"].model_copy(update=alone)
    adapted = move(with_lora(model, chosen))
    return Objective(adapted, encoder, chosen, variant, params.asking)


@pytest.fixture
def data(params: Params, examples: list[Example], documents: list[Document]) -> FinetuneData:
    pairs = draw_pairs(examples, "given", "balanced", params.pairs, seed=0)
    return FinetuneData({e.id: e for e in examples}, pairs, documents)


def contrast_of(objective: Objective, texts: list[Encoded]) -> Tensor:
    step = StepTexts(texts[:PAIRS], texts[PAIRS : 2 * PAIRS], LABELS)
    return objective(step)["contrast"]


def make_massive(model: PreTrainedModel) -> None:
    """One number of every state outweighs all others, as in pretrained models."""
    with torch.no_grad():
        model.get_input_embeddings().weight[:, 0] = MASSIVE


@pytest.mark.parametrize("at_once", [1, 7, 100])
@pytest.mark.parametrize("pairs_per_pass", [0, 1])
def test_standardised_states_are_those_of_texts_one_by_one(
    params: Params,
    encoder: Encoder,
    examples: list[Example],
    data: FinetuneData,
    model: PreTrainedModel,
    at_once: int,
    pairs_per_pass: int,
) -> None:
    """The oracle: each text alone, by the model's own forward pass, standardised by hand. The scale
    is the frozen model's, and what it is applied to the tuned one's."""
    layers, positions = (1, 2), ("last", "mean")
    objective = objective_of(params, encoder, model, target_layers=layers, positions=positions)
    objective.pairs_per_pass = pairs_per_pass
    standardise(objective, data, at_once)
    paired = [e for e in examples if any(e.id in (p.first, p.second) for p in data.pairs)]
    assert len({e.split for e in paired}) == 1 < len({e.split for e in examples})

    def states(texts: list[Encoded]) -> Tensor:
        found = []
        for text in texts:
            hidden = objective.adapted(
                torch.tensor([text.ids]), output_hidden_states=True
            ).hidden_states
            read = [(hidden[layer][0][text.last], hidden[layer][0].mean(0)) for layer in layers]
            found.append(torch.stack([state for both in read for state in both]))
        return torch.stack(found)

    with torch.no_grad():
        with switched_off(objective.adapted):
            frozen = states(texts_of(encoder, paired))
        texts = texts_of(encoder, examples[:40])
        tuned = states(texts[: 2 * PAIRS])
    contrast = contrast_of(objective, texts)
    z = (tuned - frozen.mean(0)) / frozen.std(0, correction=0)
    expected = torch.stack([
        losses.true_negatives(
            z[:PAIRS, target], z[PAIRS:, target], LABELS, params.finetune.temperature
        )
        for target in range(len(layers) * len(positions))
    ]).mean()  # fmt: skip
    assert float(contrast.detach()) == pytest.approx(float(expected), rel=1e-3)


def test_what_is_large_in_every_text_takes_the_grip_of_raw_states_alone(
    params: Params,
    encoder: Encoder,
    examples: list[Example],
    data: FinetuneData,
    model: PreTrainedModel,
) -> None:
    make_massive(model)
    objective = objective_of(params, encoder, model)
    texts = texts_of(encoder, examples[:40])

    def gradient_norm() -> float:
        contrast = contrast_of(objective, texts)
        parts = torch.autograd.grad(contrast, objective.trained, allow_unused=True)
        return math.hypot(*(float(part.norm()) for part in parts if part is not None))

    raw = gradient_norm()
    standardise(objective, data, at_once=8)
    assert gradient_norm() > 100 * raw > 0


def test_a_number_that_never_differs_is_left_as_it_is() -> None:
    states = torch.tensor([[[1.0, 300.0, 0.0]], [[3.0, 300.00003, 0.0]]])
    found = scale_of(states)
    torch.testing.assert_close(found.mean, torch.tensor([[2.0, 300.0, 0.0]]))
    assert found.deviation.tolist() == [[1.0, 1.0, 1.0]]
    assert scale_of(3 * states).deviation.tolist() == [[3.0, 1.0, 1.0]]


def test_a_few_of_many_texts_make_the_scale(
    params: Params,
    encoder: Encoder,
    data: FinetuneData,
    model: PreTrainedModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scale, "MOST_SCALED", 3)
    paired = scale.texts_of_pairs(data)
    objective = objective_of(params, encoder, model)
    standardise(objective, data, at_once=2)
    chosen = [paired[index * len(paired) // 3] for index in range(3)]
    with torch.no_grad(), switched_off(objective.adapted):
        expected = scale_of(objective.targets_of(texts_of(encoder, chosen)))
    assert objective.finetuned.scale is not None
    torch.testing.assert_close(objective.finetuned.scale.mean, expected.mean)
    torch.testing.assert_close(objective.finetuned.scale.deviation, expected.deviation)


def test_a_damaged_text_is_named(
    params: Params,
    encoder: Encoder,
    examples: list[Example],
    data: FinetuneData,
    model: PreTrainedModel,
) -> None:
    text = scale.texts_of_pairs(data)[4]
    (ids,) = texts_of(encoder, [text])
    others = {i for e in examples if e.id != text.id for i in texts_of(encoder, [e])[0].ids}
    token = next(iter(set(ids.ids) - others), ids.ids[ids.prompt_end // 2])
    objective = objective_of(params, encoder, model)
    with torch.no_grad():
        model.get_input_embeddings().weight[token] = torch.nan
    with pytest.raises(InputError, match=r"text \S+: its states at layer 0"):
        standardise(objective, data, at_once=8)


@pytest.mark.parametrize("states", ["raw", "standardised"])
def test_a_finetune_contrasts_what_its_params_say_and_goes_on_where_it_stopped(
    params: Params,
    encoder: Encoder,
    data: FinetuneData,
    model: PreTrainedModel,
    tmp_path: Path,
    states: str,
) -> None:
    weights = model.state_dict()
    kept = {name: weight.clone() for name, weight in weights.items()}
    chosen = params.finetune.model_copy(update={"states": states, "watch_every": 1})

    def trained(steps: int, file: str) -> dict[str, Tensor]:
        fresh = type(model)(model.config)
        fresh.load_state_dict(kept)
        fresh.eval()
        torch.manual_seed(0)
        row = params.variants["sft_contrast"].model_copy(update={"steps": steps})
        adapted = with_lora(fresh, chosen)
        objective = Objective(adapted, encoder, chosen, row, params.asking)
        finetune(objective, data, chosen, 0, Checkpoint(tmp_path / file, "run", every=1))
        assert (objective.finetuned.scale is None) == (states == "raw")
        return {n: w.detach().clone() for n, w in adapted.named_parameters() if w.requires_grad}

    trained(1, "stopped")
    gone_on, at_once = trained(2, "stopped"), trained(2, "whole")
    assert all(torch.equal(gone_on[name], at_once[name]) for name in at_once)


@pytest.mark.parametrize("contrast", ["none", "rerouting", "bending"])
def test_what_takes_no_cosine_of_a_contrast_reads_nothing_more(
    params: Params,
    encoder: Encoder,
    data: FinetuneData,
    model: PreTrainedModel,
    contrast: str,
) -> None:
    chosen = params.finetune.model_copy(update={"states": "standardised"})
    weight = 0.0 if contrast == "none" else 1.0
    plain = {"steps": 1, "contrast": contrast, "contrast_weight": weight, "retain_weight": 0.0}
    row = params.variants["sft_contrast"].model_copy(update=plain)
    data = replace(data, safe=("safe",))
    objective = Objective(with_lora(model, chosen), encoder, chosen, row, params.asking)
    finetune(objective, data, chosen, 0, Checkpoint(Path("nowhere"), "", every=0))
    assert objective.finetuned.scale is None
