"""LoRA as one operation gives PEFT's numbers."""

import copy

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.params import Params
from pipeline.models.fused_lora import fuse, switched_off
from pipeline.models.lora import with_lora
from pipeline.models.peft_import import PeftModel
from tests.support.tiny import move


def moved(
    model: PreTrainedModel, params: Params, dtype: torch.dtype, **update: object
) -> PeftModel:
    finetuning = params.finetune.model_copy(update=update)
    return move(with_lora(model.to(dtype), finetuning)).eval()


def outcome(adapted: PeftModel) -> tuple[Tensor, list[Tensor]]:
    logits = adapted(torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])).logits
    trained = [weight for weight in adapted.parameters() if weight.requires_grad]
    return logits.detach(), list(torch.autograd.grad(logits.square().mean(), trained))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_fused_equals_peft(
    model: PreTrainedModel, params: Params, dtype: torch.dtype, tolerance: float
) -> None:
    adapted = moved(model, params, dtype)
    logits, others = outcome(adapted)
    fuse(adapted)
    found, gradients = outcome(adapted)
    assert float((found - logits).norm() / logits.norm()) < tolerance
    for gradient, other in zip(gradients, others, strict=True):
        assert gradient.dtype == other.dtype
        assert float((gradient - other).norm() / other.norm()) < tolerance


def test_products_of_bfloat16_are_as_good_as_pefts(model: PreTrainedModel, params: Params) -> None:
    """Of the exact gradients of the same weights, PEFT's products in float32 miss about as much:
    what either loses, it loses in the model's own bfloat16."""
    adapted = moved(model, params, torch.bfloat16)
    exact, pefts = outcome(copy.deepcopy(adapted).float()), outcome(adapted)
    fuse(adapted)
    found = outcome(adapted)
    assert all(gradient.dtype == torch.float32 for gradient in found[1])
    assert not all(map(torch.equal, found[1], pefts[1])), "computed another way"
    assert gap(found, exact) < 2 * gap(pefts, exact) < 0.1


def gap(one: tuple[Tensor, list[Tensor]], other: tuple[Tensor, list[Tensor]]) -> float:
    """How far logits and gradients together are apart, each of norm 1."""
    pairs = zip([one[0], *one[1]], [other[0], *other[1]], strict=True)
    return float(torch.stack([(a - b).norm() / b.norm() for a, b in pairs]).mean())


def test_a_switched_off_adapter_is_the_base(model: PreTrainedModel, params: Params) -> None:
    ids = torch.tensor([[3, 1, 4]])
    with torch.no_grad():
        before = model(ids).logits
        adapted = moved(model, params, torch.float32)
        fuse(adapted)
        for switch in (switched_off, PeftModel.disable_adapter):
            with switch(adapted):
                assert torch.equal(adapted(ids).logits, before)
            assert not torch.equal(adapted(ids).logits, before)


def test_dropout_drops_the_same_inputs(model: PreTrainedModel, params: Params) -> None:
    adapted = moved(model, params, torch.float32, lora_dropout=0.5)

    def seeded(training: bool) -> tuple[Tensor, list[Tensor]]:
        for name, module in adapted.named_modules():
            module.training = training and "lora_dropout" in name
        torch.manual_seed(0)
        return outcome(adapted)

    expected, resting = seeded(training=True), seeded(training=False)
    fuse(adapted)
    for (found, gradients), (logits, others) in (
        (seeded(training=True), expected),
        (seeded(training=False), resting),
    ):
        torch.testing.assert_close(found, logits)
        for gradient, other in zip(gradients, others, strict=True):
            torch.testing.assert_close(gradient, other)
    assert not torch.allclose(expected[0], resting[0])
