"""LoRA as one operation gives PEFT's numbers."""

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


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.05)]
)
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
