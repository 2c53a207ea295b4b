"""Losses of an edit are their formulas, and a fit follows them."""

import copy

import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.core.records import Example
from pipeline.edits import mlp_training
from pipeline.edits.delta import mlp_of
from pipeline.models.encoding import Encoder


def drawn(rows: int, width: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def test_negative_reward_and_its_gradient_are_their_formulas() -> None:
    """L = -mean R, and dL/dh_t = -R_t h_t / (T |h_t|^2)."""
    states = drawn(6).requires_grad_()
    rewards = torch.tensor([1.0, -1.0, 0.0, 1.0, 1.0, 0.0])
    loss = mlp_training.negative_reward(states, rewards)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(-2 / 6)
    for state, gradient, reward in zip(states.detach(), states.grad, rewards, strict=True):
        assert torch.allclose(gradient, -reward * state / (6 * state.dot(state)), atol=1e-6)


def test_target_distance_is_the_mean_squared_error() -> None:
    states, targets = drawn(3), drawn(3, seed=1)
    by_hand = sum((a - b) ** 2 for a, b in zip(states.flatten(), targets.flatten(), strict=True))
    assert float(mlp_training.target_distance(states, targets)) == pytest.approx(
        float(by_hand) / 48
    )


def test_random_targets_are_as_far_as_those_apart_but_elsewhere() -> None:
    states, contrary = drawn(5), drawn(4, seed=1) + 1
    apart, random = (
        mlp_training.targets_for(states, contrary, kind, 2.0, torch.Generator().manual_seed(0))
        - states
        for kind in ("apart", "random")
    )
    direction = states.mean(0) - contrary.mean(0)
    assert torch.allclose(apart, (2 * direction).expand_as(apart), atol=1e-5)
    assert torch.allclose(random.norm(dim=1), apart.norm(dim=1), rtol=1e-5)
    assert abs(float(torch.cosine_similarity(random[0], apart[0], dim=0))) < 0.9


def test_response_loss_is_the_mean_nll_of_responses_token_by_token(
    model: PreTrainedModel, encoder: Encoder, examples: list[Example]
) -> None:
    texts = encoder.texts([(e.prompt, e.safe_response) for e in examples[:3]])
    mlp = mlp_training.float32_copy(mlp_of(model, 1))
    with torch.no_grad():
        found = mlp_training.response_loss(model, encoder, texts, 1)(mlp, torch.arange(3))
        nlls = []
        for text in texts:
            log_probabilities = model(torch.tensor([text.ids])).logits[0].log_softmax(-1)
            nlls += [
                -log_probabilities[index - 1, text.ids[index]]
                for index in range(text.prompt_end + 1, text.last + 1)
            ]
    assert float(found) == pytest.approx(float(torch.stack(nlls).mean()), rel=1e-5)
    assert mlp_of(model, 1) is not mlp, "its own MLP is back"


def fitted(params: Params, weight: float) -> tuple[dict[str, float], float, float]:
    """A fit towards far targets: its notes, how near they came, how far what is kept moved."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    mlp = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.GELU(), torch.nn.Linear(64, 16))
    own = copy.deepcopy(mlp)
    inputs, kept = (
        mlp_training.MlpInputs(pre, torch.zeros_like(pre), torch.nn.Identity())
        for pre in (drawn(20), drawn(300, seed=1))
    )
    targets = inputs.states(own).detach() + drawn(1, seed=2)
    row = params.control.edits["supervised"].model_copy(
        update={"steps": 60, "learning_rate": 3e-3, "locality_weight": weight}
    )
    loss = mlp_training.supervised_loss(inputs, targets)
    notes = mlp_training.train_mlp(mlp, loss, 20, [kept], row, 8, generator)
    with torch.no_grad():
        near = mlp_training.target_distance(inputs.states(mlp), targets)
        change = mlp_training.target_distance(kept.states(mlp), kept.states(own))
    return notes, float(near), float(change)


def test_training_reaches_targets_and_locality_holds_the_rest(params: Params) -> None:
    free, near, change = fitted(params, weight=0.0)
    held, _, held_change = fitted(params, weight=10.0)
    assert near < 0.3 * free["first_loss"]
    assert held_change < 0.3 * change
    assert held["first_loss"] == free["first_loss"]
    assert fitted(params, weight=10.0) == fitted(params, weight=10.0)


def test_states_of_positive_reward_grow_and_of_negative_reward_shrink(params: Params) -> None:
    torch.manual_seed(0)
    mlp = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.GELU(), torch.nn.Linear(64, 16))
    inputs = mlp_training.MlpInputs(drawn(20), drawn(20, seed=1), torch.nn.Identity())
    before = inputs.states(mlp).detach()
    rewards = torch.tensor([1.0, -1.0, 0.0, 1.0, -1.0] * 4)
    row = params.control.edits["reinforcement"].model_copy(
        update={"steps": 30, "learning_rate": 3e-3, "locality_weight": 0.0}
    )
    loss = mlp_training.reinforcement_loss(inputs, lambda _, chosen: rewards[chosen])
    mlp_training.train_mlp(mlp, loss, 20, [], row, 20, torch.Generator().manual_seed(0))
    with torch.no_grad():
        along = (inputs.states(mlp) * before).sum(1) / before.square().sum(1)
    assert along[rewards > 0].mean() > 1.1
    assert along[rewards < 0].mean() < 0.9


def test_training_that_diverges_is_refused_with_its_step(params: Params) -> None:
    row = params.control.edits["supervised"]
    mlp = torch.nn.Linear(16, 16)
    inputs = mlp_training.MlpInputs(drawn(4), drawn(4) * torch.inf, torch.nn.Identity())
    with pytest.raises(InputError, match="diverged at step 0; lower its learning_rate"):
        mlp_training.train_mlp(
            mlp, mlp_training.supervised_loss(inputs, drawn(4)), 4, [], row, 2, torch.Generator()
        )
    once = row.model_copy(update={"steps": 1})
    with pytest.raises(InputError, match="diverged at its last step; lower its learning_rate"):
        # A root of 0: the loss is a number, its gradient is none.
        mlp_training.train_mlp(
            mlp, lambda m, _: (0 * m.weight).sum().sqrt(), 4, [], once, 2, torch.Generator()
        )
