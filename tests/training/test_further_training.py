"""What a model is trained further for, and that nothing of it stays once its adapter is gone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.params import Params
from pipeline.core.records import Document, Example
from pipeline.corpora.pairs import draw_pairs
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.packing import pack
from pipeline.models.reader_check import reader_for
from pipeline.training.finetune_data import FinetuneData
from pipeline.training.further_training import (
    Goal,
    documents_to_answer,
    goals,
    train_further,
)
from pipeline.training.objective import Objective, lay_out
from pipeline.training.step import HiddenFrom, StepTexts
from pipeline.training.terms import INSTEAD, used_terms
from tests.support.objectives import gap, moved_objective

NEVER = Checkpoint(Path("nowhere"), key="", every=0)
WIDTH = 16
WEIGHTS = np.random.default_rng(0).normal(size=WIDTH)
MONITOR = HiddenFrom(WEIGHTS, offset=0.5, safe=-1.0, harmful=3.0)


@pytest.fixture
def data(params: Params, examples: list[Example], documents: list[Document]) -> FinetuneData:
    pairs = draw_pairs(examples, "given", "balanced", params.pairs, seed=0)
    return FinetuneData({e.id: e for e in examples}, pairs, documents, ("safe",))


def test_exposure_worked_example() -> None:
    monitor = HiddenFrom(np.array([2.0, 0.0]), offset=-1.0, safe=-3.0, harmful=1.0)
    states = torch.tensor([[-1.0, 9.0], [1.0, 9.0], [0.0, 0.0]])  # logits -3, 1 and -1
    assert monitor.exposure(states).tolist() == [0.0, 1.0, 0.5]


def test_of_equal_states_nothing_is_exposed() -> None:
    blind = HiddenFrom(np.zeros(2), offset=-3.0, safe=-3.0, harmful=-3.0)
    assert blind.exposure(torch.randn(4, 2)).tolist() == [0.0] * 4


def hidden(objective: Objective, monitor: HiddenFrom) -> Objective:
    """The same objective, with hiding instead of its contrast."""
    former = objective.finetuned
    goal = Goal(steps=1, contrast="hiding", contrast_weight=1.0)
    return Objective(
        former.adapted, former.encoder, former.params, goal, former.asking, hidden_from=monitor
    )


def test_hiding_is_the_mean_square_of_every_views_exposure(
    params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    """Value and gradient, by the model's own forward pass; and the same read in passes."""
    moved = moved_objective(params, encoder, model, target_layers=(1,), positions=("last",))
    objective = hidden(moved, MONITOR)
    texts = [encoder(e.prompt, e.response) for e in examples[:6]]
    views = StepTexts(texts[:3], texts[3:], torch.arange(3))
    found = objective(views)["contrast"]
    exposures = []
    for text in texts:
        states = objective.adapted(torch.tensor([text.ids]), output_hidden_states=True)
        logit = states.hidden_states[1][0][text.last] @ torch.from_numpy(WEIGHTS).float() + 0.5
        exposures.append((logit + 1.0) / 4.0)
    expected = torch.stack(exposures).square().mean()
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)
    weights = [weight for weight in objective.adapted.parameters() if weight.requires_grad]
    assert gap(found, expected, weights) < 1e-3
    objective.pairs_per_pass = 1
    assert float(objective(views)["contrast"].detach()) == pytest.approx(float(found.detach()))


def test_each_goal_uses_its_own_terms(params: Params, data: FinetuneData) -> None:
    """And where no text has a safe answer, or no document a response, none is learned."""
    further = params.further_training.model_copy(update={"hiding_weight": 1.0})
    found = goals(further, data)
    used = {name: {*used_terms(goal, params.finetune)} for name, goal in found.items()}
    penalties = {f"penalty on {texts}" for texts in params.finetune.penalty_texts}
    assert used == {
        "hiding": {"contrast", *penalties},
        "no_hiding": penalties,
        "safe_answers": {"response"},
        "other_texts": {"response"},
    }
    assert used_terms(found["hiding"], params.finetune)["contrast"] is INSTEAD["hiding"]
    unanswered = {name: replace(e, safe_response="") for name, e in data.examples.items()}
    asked_alone = [replace(document, response="") for document in data.documents]
    bare = replace(data, examples=unanswered, documents=asked_alone)
    assert {*goals(further, bare)} == {"hiding", "no_hiding"}


def test_other_texts_are_learned_from_documents_alone(data: FinetuneData) -> None:
    """Of those with a response, prompt and response as they are; validation keeps its texts."""
    open_ended = Document("d-open", "And then?", "", "pretrain")
    mixed = replace(data, documents=[data.documents[0], open_ended, *data.documents[1:3]])
    found = documents_to_answer(mixed)
    read = [found.examples[pair.first] for pair in found.pairs]
    said = [(e.prompt, e.safe_response) for e in read]
    assert said == [(d.prompt, d.response) for d in data.documents[:3]]
    assert {pair.augmentation for pair in found.pairs} == {"whole"}
    assert {**found.examples, **data.examples} == {**found.examples}


def test_hiding_reads_views_no_further_than_the_monitor_does() -> None:
    texts = StepTexts([Encoded((1, 2), 0, 1)], [Encoded((1, 2), 0, 1)])
    layout = lay_out(texts, [INSTEAD["hiding"]])
    assert {depth.name: texts for depth, texts in layout.reaching.items() if texts} == {"TARGET": 2}


def further(
    params: Params, encoder: Encoder, data: FinetuneData, model: PreTrainedModel, goal: Goal
) -> Any:
    knobs = params.finetune.model_copy(update={"learning_rate": 0.02})
    return train_further(
        model, encoder, data, goal, MONITOR, params.reading, knobs, params.asking, params.runtime,
        0, NEVER,
    )  # fmt: skip


@torch.no_grad()
def states_of(model: Any, texts: list[Encoded], encoder: Encoder) -> list[Tensor]:
    """All layers of all tokens."""
    found: list[Tensor] = []
    reader_for(model, encoder.longest)(model, pack(texts), lambda _, own: found.append(own.clone()))
    return found


def exposure(model: Any, texts: list[Encoded], encoder: Encoder, params: Params) -> float:
    states = states_of(model, texts, encoder)[params.reading.layer]
    read = pack(texts).at(states, params.reading.position)
    return float(MONITOR.exposure(read).square().mean())


@pytest.mark.parametrize("name", ["hiding", "no_hiding", "safe_answers", "other_texts"])
def test_without_the_adapter_the_model_is_back_to_the_bit(
    name: str, params: Params, encoder: Encoder, examples: list[Example], data: FinetuneData,
    model: PreTrainedModel,
) -> None:  # fmt: skip
    texts = [encoder(e.prompt, e.response) for e in examples[:8]]
    before = states_of(model, texts, encoder)
    weights = {key: weight.clone() for key, weight in model.state_dict().items()}
    adapted = further(params, encoder, data, model, goals(params.further_training, data)[name])
    if name != "no_hiding":
        after = states_of(adapted, texts, encoder)
        assert not torch.equal(after[-1], before[-1]), "the adapter does something"
    back = adapted.unload()
    assert {*back.state_dict()} == {*weights}
    assert all(torch.equal(back.state_dict()[key], weight) for key, weight in weights.items())
    for was, now in zip(before, states_of(back, texts, encoder), strict=True):
        assert torch.equal(was, now)


def test_hiding_hides_and_the_same_steps_without_it_do_not(
    params: Params, encoder: Encoder, examples: list[Example], data: FinetuneData,
    model: PreTrainedModel,
) -> None:  # fmt: skip
    texts = [encoder(e.prompt, e.response) for e in examples[:20]]
    before = exposure(model, texts, encoder, params)
    adapted = further(params, encoder, data, model, Goal(10, "hiding", 1.0))
    assert exposure(adapted, texts, encoder, params) < 0.9 * before
    adapted = further(params, encoder, data, adapted.unload(), Goal(10, penalty_weight=1.0))
    assert exposure(adapted, texts, encoder, params) == pytest.approx(before, rel=0.02)


def test_pairs_that_run_out_come_again(
    params: Params, encoder: Encoder, data: FinetuneData, model: PreTrainedModel
) -> None:
    few = data.pairs[: params.finetune.pairs_per_step]
    found = []
    for pairs in (few, [*few] * 3):
        adapted = further(params, encoder, replace(data, pairs=pairs), model, Goal(3, "hiding", 1))
        found.append([w.clone() for w in adapted.parameters() if w.requires_grad])
        adapted.unload()
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_every_goal_starts_from_the_same_adapter(
    params: Params, encoder: Encoder, data: FinetuneData, model: PreTrainedModel
) -> None:
    """The budget is the same for each: rank, blocks, and the first factor's draws."""

    def start(goal: Goal) -> dict[str, Tensor]:
        adapted = further(params, encoder, data, model, goal)
        kept = {n: w.clone() for n, w in adapted.named_parameters() if w.requires_grad}
        adapted.unload()
        return kept

    first, *others = (start(Goal(0, *own)) for own in ([], ["hiding", 1.0], ["none", 0.0]))
    assert {int(name.split("layers.")[1][0]) for name in first} == {0, 1}, "every block has one"
    for other in others:
        assert all(torch.equal(first[name], other[name]) for name in first)
