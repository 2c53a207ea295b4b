"""What is measured on logits: worked examples, and chunks that change no value."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipeline.models.logits import joined_chunks, kl, next_token_nll, summed_chunks, token_kl


@pytest.mark.parametrize("size", [1, 3, 6, 100])
def test_summed_chunks_give_the_value_and_gradient_of_one(size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(2, 6, 5, generator=generator, dtype=torch.float64)
    hidden = hidden.requires_grad_()

    def value(part: Tensor, tokens: slice) -> Tensor:
        return token_kl(part @ weight.T, weight[tokens] @ weight.T).sum()

    expected = value(hidden, slice(None))
    found = summed_chunks(hidden, value, size)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(3 * found, hidden), torch.autograd.grad(3 * expected, hidden)
    )
    with torch.no_grad():
        torch.testing.assert_close(summed_chunks(hidden, value, size), expected)


@pytest.mark.parametrize("size", [1, 3, 6, 100])
def test_joined_chunks_keep_the_order_of_tokens(size: int) -> None:
    hidden, parts = torch.arange(12.0).view(6, 2), list[int]()

    def value(own: Tensor, tokens: slice) -> Tensor:
        parts.append(len(own))
        assert torch.equal(own, hidden[tokens])
        return torch.stack([own.sum(1), own[:, 1]])

    assert torch.equal(joined_chunks(hidden, value, size), value(hidden, slice(None)))
    assert max(parts[:-1]) == min(size, 6)


def test_kl_worked_example() -> None:
    frozen = torch.tensor([[0.0, math.log(3.0)]])  # 1/4, 3/4
    tuned = torch.tensor([[0.0, 0.0]])  # 1/2, 1/2
    expected = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert float(kl(tuned, frozen)) == pytest.approx(expected)
    assert float(kl(frozen, frozen)) == 0


@pytest.mark.parametrize("tuned_too", [True, False], ids=["both", "frozen alone"])
def test_a_token_that_is_ruled_out_adds_nothing_to_kl_or_its_gradient(tuned_too: bool) -> None:
    """As if the vocabulary did not have it, where both models rule it out; otherwise the tuned
    model's share of it is missing from the tokens that count."""
    frozen = torch.tensor([[0.0, math.log(3.0), -torch.inf]])  # 1/4, 3/4, 0
    tuned = torch.tensor([[0.0, 0.0, -torch.inf if tuned_too else 0.0]], requires_grad=True)
    share = 1 / 2 if tuned_too else 1 / 3
    found = kl(tuned, frozen)
    expected = 0.25 * math.log(0.25 / share) + 0.75 * math.log(0.75 / share)
    assert float(found.detach()) == pytest.approx(expected)
    (gradient,) = torch.autograd.grad(found, tuned)
    third = 0.0 if tuned_too else share
    torch.testing.assert_close(gradient, torch.tensor([[share - 0.25, share - 0.75, third]]))


def test_kl_is_infinite_where_only_the_tuned_model_rules_a_token_out() -> None:
    frozen, tuned = torch.zeros(1, 2), torch.tensor([[0.0, -torch.inf]])
    assert float(kl(tuned, frozen)) == math.inf


@given(st.integers(0, 10_000))
def test_kl_is_never_negative_and_ignores_a_shift(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tuned, frozen = torch.randn(2, 4, 9, generator=generator, dtype=torch.float64)
    assert float(kl(tuned, frozen)) >= 0
    assert float(kl(tuned + 5, frozen - 3)) == pytest.approx(float(kl(tuned, frozen)), abs=1e-12)


def test_next_token_nll_worked_example() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]))
    assert float(next_token_nll(logits, torch.tensor([1, 1]))) == pytest.approx(
        -(math.log(0.25) + math.log(0.8)) / 2
    )
