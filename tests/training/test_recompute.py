"""What is done again in the backward pass is what was done."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.training.recompute import replayed


def test_gradients_of_random_work_are_its_own() -> None:
    torch.manual_seed(0)
    inputs, weights = torch.randn(6, 4), [torch.randn(4, 3), torch.randn(3), torch.randn(2)]
    trained = [weight.requires_grad_() for weight in weights]
    runs: list[bool] = []

    def work() -> Tensor:
        runs.append(torch.is_grad_enabled())
        return F.dropout(inputs @ weights[0] + weights[1], 0.5).square()

    torch.manual_seed(1)
    expected = work()
    others = torch.autograd.grad(expected.sum(), trained[:2])
    torch.manual_seed(1)
    found = replayed(work, trained)
    after = torch.rand(1)
    torch.manual_seed(7)
    gradients = torch.autograd.grad(found.sum(), trained, allow_unused=True)
    assert runs == [True, False, True]
    assert torch.equal(found, expected)
    for gradient, other in zip(gradients, others, strict=False):
        assert torch.equal(gradient, other)
    assert gradients[2] is None, "what work does not use"
    drawn = torch.rand(1)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(1)), "nor does it change what is drawn next"
    torch.manual_seed(1)
    work()
    assert torch.equal(after, torch.rand(1))


def test_no_graph_is_kept() -> None:
    weight = torch.randn(3, requires_grad=True)
    kept = replayed(lambda: (weight * weight).exp(), [weight])
    assert kept.grad_fn is not None
    behind = {type(node).__name__ for node, _ in kept.grad_fn.next_functions if node}
    assert behind == {"AccumulateGrad"}
