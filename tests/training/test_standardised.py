"""States are contrasted raw, or standardised by what the frozen model makes of training texts."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.params import Params
from pipeline.core.records import Document, Example
from pipeline.core.sections import Finetune
from pipeline.corpora.pairs import draw_pairs
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.lora import with_lora
from pipeline.training import losses
from pipeline.training.finetune_data import MOST_OF_SCALE, FinetuneData, texts_of_scale
from pipeline.training.finetuning import finetune
from pipeline.training.objective import Objective
from pipeline.training.step import StepTexts

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
    torch.manual_seed(0)
    return Objective(with_lora(model, chosen), encoder, chosen, variant, params.asking)


def contrast_of(objective: Objective, texts: list[Encoded]) -> Tensor:
    step = StepTexts(texts[:PAIRS], texts[PAIRS : 2 * PAIRS], LABELS)
    return objective(step)["contrast"]


def make_massive(model: PreTrainedModel) -> None:
    """One number of every state outweighs all others, as in pretrained models."""
    with torch.no_grad():
        model.get_input_embeddings().weight[:, 0] = MASSIVE


def test_standardised_states_are_those_of_numpy(
    params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    """The oracle: each text alone, by the model's own forward pass, standardised by hand."""
    positions = ("last", "mean")
    objective = objective_of(params, encoder, model, target_layers=(2,), positions=positions)
    texts = texts_of(encoder, examples[:40])
    objective.standardise(texts)

    def state(text: Encoded) -> Tensor:
        hidden = model(torch.tensor([text.ids]), output_hidden_states=True).hidden_states[2][0]
        return torch.stack([hidden[text.last], hidden.mean(0)])

    with torch.no_grad():
        every = torch.stack([state(text) for text in texts])
        z = (every - every.mean(0)) / every.std(0, correction=0)
        found = contrast_of(objective, texts)
    expected = torch.stack([
        losses.true_negatives(
            z[:PAIRS, p], z[PAIRS : 2 * PAIRS, p], LABELS, params.finetune.temperature
        )
        for p in range(2)
    ]).mean()  # fmt: skip
    assert float(found) == pytest.approx(float(expected), rel=1e-3)


def test_what_is_large_in_every_text_takes_the_grip_of_raw_states_alone(
    params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    make_massive(model)
    objective = objective_of(params, encoder, model)
    texts = texts_of(encoder, examples[:40])

    def gradient_norm() -> float:
        contrast = contrast_of(objective, texts)
        parts = torch.autograd.grad(contrast, objective.trained, allow_unused=True)
        return math.hypot(*(float(part.norm()) for part in parts if part is not None))

    raw = gradient_norm()
    objective.standardise(texts)
    assert gradient_norm() > 1000 * raw > 0


def test_a_number_that_never_differs_is_left_as_it_is(
    params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    objective = objective_of(params, encoder, model)
    text = texts_of(encoder, examples[:1])
    objective.standardise(text * 3)  # no number differs
    scale = objective.finetuned.scale
    assert scale is not None
    assert bool((scale.deviation == 1).all())
    states = objective.finetuned.contrasted(scale.mean[None] + 0.5)
    torch.testing.assert_close(states, torch.full_like(states, 0.5))


def test_the_scale_is_of_training_texts_alone(
    encoder: Encoder, examples: list[Example], documents: list[Document]
) -> None:
    train = [example for example in examples if example.split == "train"]
    data = FinetuneData({e.id: e for e in examples}, [], documents)
    assert texts_of_scale(encoder, data) == texts_of(encoder, train)[:MOST_OF_SCALE]
    assert len(train) < len(examples)


@pytest.mark.parametrize("states", ["raw", "standardised"])
def test_a_finetune_contrasts_what_its_params_say_and_goes_on_where_it_stopped(
    params: Params,
    encoder: Encoder,
    examples: list[Example],
    documents: list[Document],
    model: PreTrainedModel,
    tmp_path: Path,
    states: str,
) -> None:
    weights = model.state_dict()
    kept = {name: weight.clone() for name, weight in weights.items()}
    data = FinetuneData(
        {e.id: e for e in examples},
        draw_pairs(examples, "given", "balanced", params.pairs, seed=0),
        documents,
    )
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


def test_a_variant_without_a_contrast_reads_nothing_more(
    params: Params,
    encoder: Encoder,
    examples: list[Example],
    documents: list[Document],
    model: PreTrainedModel,
) -> None:
    chosen: Finetune = params.finetune.model_copy(update={"states": "standardised"})
    plain = {"steps": 1, "contrast": "none", "contrast_weight": 0.0}
    row = params.variants["sft_contrast"].model_copy(update=plain)
    pairs = draw_pairs(examples, "given", "random", params.pairs, seed=0)
    data = FinetuneData({e.id: e for e in examples}, pairs, documents)
    objective = Objective(with_lora(model, chosen), encoder, chosen, row, params.asking)
    finetune(objective, data, chosen, 0, Checkpoint(Path("nowhere"), "", every=0))
    assert objective.finetuned.scale is None
