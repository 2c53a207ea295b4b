"""Tiny models of random weights, one of every family of decoders that is tried."""

from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedModel

SIZE = {
    "vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
ALIKE = {name: value for name, value in SIZE.items() if name != "num_key_value_heads"}
GEMMA = SIZE | {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 5}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", SIZE),
    "qwen2": ("Qwen2Config", SIZE),
    "qwen2, windows": (
        "Qwen2Config",
        SIZE | {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 2},
    ),
    "qwen3": ("Qwen3Config", SIZE | {"head_dim": 8}),
    "mistral": ("MistralConfig", SIZE | {"sliding_window": 5}),
    "gemma2": (
        "Gemma2Config",
        GEMMA | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    ),
    "gemma3": ("Gemma3TextConfig", GEMMA),
    "phi3": ("Phi3Config", SIZE),
    "olmo2": ("Olmo2Config", SIZE),
    "cohere": ("CohereConfig", SIZE | {"logit_scale": 0.25}),
    "granite": ("GraniteConfig", SIZE | {"logits_scaling": 4.0, "residual_multiplier": 0.5}),
    "gpt_neox": ("GPTNeoXConfig", ALIKE),
    "gpt2": (
        "GPT2Config",
        {"vocab_size": 97, "n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 64,
         "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    ),
}  # fmt: skip
PADDED: dict[str, tuple[str, dict[str, Any]]] = {  # whose rows cannot be packed
    "phimoe": (
        "PhimoeConfig",
        SIZE | {"num_local_experts": 2, "num_experts_per_tok": 1, "sliding_window": 6},
    ),
    "bloom": (
        "BloomConfig",
        {"vocab_size": 97, "hidden_size": 32, "n_layer": 4, "n_head": 4,
         "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    ),
    "llama4": (
        "Llama4TextConfig",
        SIZE | {"head_dim": 8, "num_local_experts": 2, "intermediate_size_mlp": 48,
                "attention_chunk_size": 6},
    ),
}  # fmt: skip


def family(name: str, **more: object) -> PreTrainedModel:
    kind, size = (FAMILIES | PADDED)[name]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(getattr(transformers, kind)(**size | more)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model
