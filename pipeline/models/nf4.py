"""Frozen weights in 4 bits, dequantised where they are used (QLoRA, arXiv 2305.14314).

NF4 with doubly quantised scales, by bitsandbytes, in the linear maps of the blocks. Embeddings,
norms and head stay in bfloat16, in which everything is computed.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import BitsAndBytesConfig

from pipeline.core.console import InputError
from pipeline.models.peft_import import import_bitsandbytes


def loading(device: torch.device) -> dict[str, Any]:
    """The options of `from_pretrained`. Raises InputError where bitsandbytes is missing."""
    try:
        import_bitsandbytes()
    except ImportError as missing:
        raise InputError(
            "params.yaml: model.dtype is nf4, which needs bitsandbytes; pip install '.[quantised]' "
            "or set bfloat16"
        ) from missing
    scheme = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {
        "dtype": torch.bfloat16,
        "quantization_config": scheme,
        "device_map": {"": device},  # every weight is made small where it will stay
    }


def keep_layout(model: nn.Module) -> None:
    """Forbid bitsandbytes to lay weights out anew for reading alone, as it does on CPUs with
    AVX512-BF16: from then on they would pass no gradient."""
    for module in model.modules():
        if is_quantised(module):
            vars(module)["support_avx512bf16_for_cpu"] = False


def is_quantised(module: Any) -> bool:
    """Whether a module is a linear map of 4-bit weights."""
    return isinstance(module, nn.Linear) and state_of(module.weight) is not None


def state_of(weight: Tensor) -> Any:
    """How a weight was quantised, which its bytes do not say; None where it was not."""
    return getattr(weight, "quant_state", None)


def dequantised(weight: Tensor, state: Any) -> Tensor:
    """The weight that is meant: itself, or [O, I] in bfloat16."""
    if state is None:
        return weight
    from bitsandbytes.functional import dequantize_4bit

    wide: Tensor = dequantize_4bit(weight.data, state)
    return wide


def widen(module: nn.Module) -> None:
    """Give every 4-bit linear map inside a module the bfloat16 weights that it stands for."""
    for name, child in list(module.named_children()):
        if not is_quantised(child):
            widen(child)
            continue
        assert isinstance(child, nn.Linear)
        wide = nn.Linear(
            child.in_features, child.out_features, child.bias is not None, device="meta"
        )
        wide.weight = nn.Parameter(
            dequantised(child.weight, state_of(child.weight)), requires_grad=False
        )
        wide.bias = child.bias
        setattr(module, name, wide.train(child.training))
