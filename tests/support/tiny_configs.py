"""A tiny configuration of every kind of causal language model that transformers knows."""

from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig

# What families call their sizes. A configuration is given those that it has.
SIZES: dict[str, Any] = {
    "vocab_size": 97, "vocab_size_per_layer_input": 400,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "num_hidden_layers": 4, "n_layer": 4, "n_layers": 4, "num_layers": 4, "decoder_layers": 4,
    "hidden_size": 32, "n_embd": 32, "d_model": 32, "word_embed_proj_dim": 32,
    "hidden_size_per_layer_input": 8,
    "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "num_heads": 4, "attention_heads": 4,
    "decoder_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "dim_head": 8,
    "rotary_dim": 4, "sliding_window": 5,
    "intermediate_size": 48, "ffn_hidden_size": 48, "ffn_dim": 48, "decoder_ffn_dim": 48,
    "n_inner": 48, "dim_ff": 48,
    "max_position_embeddings": 128, "n_positions": 128, "n_ctx": 128, "max_seq_len": 128,
    # mixtures of experts
    "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "n_routed_experts": 4,
    "num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1,
    "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1,
    # latent attention, and attention to a chosen few
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
    "v_head_dim": 8, "index_head_dim": 8, "index_n_heads": 2, "index_topk": 64,
    # recurrences
    "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8,
    "mamba_n_groups": 1, "mamba_num_heads": 4, "mamba_head_dim": 16, "state_size": 8,
    "ssm_state_size": 8,
}  # fmt: skip
LATENT = ("axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite",
          "glm_moe_dsa", "longcat_flash", "minicpm3", "youtu")  # fmt: skip
VISION = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
          "num_attention_heads": 2, "image_size": 16, "patch_size": 8}  # fmt: skip
WINDOWS = ["sliding_attention", "full_attention"] * 2
OWN: dict[str, dict[str, Any]] = {  # what a family is given beside; None: what it has by itself
    **{kind: {"num_key_value_heads": 4} for kind in LATENT},
    "bailing_hybrid": {
        "layer_types": ["linear_attention", "full_attention"] * 2,
        "mlp_layer_types": ["dense", "sparse"] * 2, "num_key_value_heads": 4,
        "num_experts_per_token": 2, "num_expert_group": 1,
    },
    "bamba": {"attn_layer_indices": [1, 3]},
    "cohere_compass_text": {
        "layer_types": WINDOWS,
        "rope_parameters": {kind: {"rope_type": "default", "rope_theta": 1e4} for kind in WINDOWS},
    },
    "falcon": {"head_dim": None},
    "falcon_h1": {"mamba_d_ssm": 64},
    "gemma3n_text": {
        "layer_types": WINDOWS, "intermediate_size": 48, "num_kv_shared_layers": 0,
        "activation_sparsity_pattern": [0.0] * 4, "laurel_rank": 8,
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "window_size": 5},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"] * 2,
                         "shared_intermediate_size": 16},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_dt_rank": 4},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1},
    "longcat_flash": {"num_key_value_heads": 4, "ffn_hidden_size": 48,
                      "expert_ffn_hidden_size": 16, "moe_topk": 2, "zero_expert_num": 1},
    "mamba2": {"num_heads": 4, "head_dim": 16, "n_groups": 1},
    "modernbert-decoder": {"local_attention": 6},
    "nemotron_h": {
        "layers_block_type": ["linear_attention", "moe", "full_attention", "mlp"], "n_groups": 1,
        "moe_shared_expert_intermediate_size": 16, "num_hidden_layers": None,
    },
    "prophetnet": {"num_hidden_layers": None, "num_decoder_layers": 4, "num_encoder_layers": 4,
                   "is_decoder": True},
    "reformer": {"is_decoder": True},
    "xlnet": {"max_position_embeddings": None},
    "zaya": {"num_experts_per_tok": 1, "layer_types": ["hybrid"] * 4, "router_hidden_size": 8},
}  # fmt: skip
# Encoders of their kind are decoders only where they are asked to be.
OWN |= {
    kind: {"is_decoder": True}
    for kind in ("bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra",
                 "ernie", "megatron-bert", "rembert", "roberta", "roberta-prelayernorm",
                 "roformer", "xlm-roberta", "xlm-roberta-xl")
}  # fmt: skip


WRAPPED = {"gemma3": "gemma3_text", "llama4": "llama4_text", "qwen3_5": "qwen3_5_text",
           "qwen3_5_moe": "qwen3_5_moe_text", "gemma4": "gemma4_text"}  # fmt: skip


def tiny_config(kind: str, **more: Any) -> PreTrainedConfig:
    """The smallest sizes that still have four blocks, groups of heads, a window and experts."""
    family = CONFIG_MAPPING[kind]
    if kind in WRAPPED:  # around a decoder of text
        text = tiny_config(WRAPPED[kind], **more)
        return family(text_config=text.to_dict(), vision_config=VISION)
    plain = family()
    known = {*dir(plain), *plain.to_dict(), *family.attribute_map}
    sizes = {
        name: size
        for name, size in (SIZES | OWN.get(kind, {}) | more).items()
        if name in known | more.keys() | OWN.get(kind, {}).keys() and size is not None
    }
    return family(**sizes)
