"""Small models and their tokenizers, made anew; and the machine made ready to run any."""

import ctypes
import sys
from collections.abc import Sequence

import torch
import torch.nn.functional as F
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from pipeline.core.console import InputError, is_out_of_memory
from pipeline.core.sections import EmbeddedModel, Runtime
from pipeline.models.encoding import SLOT
from pipeline.models.matrix_products import use_openblas

PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>


def prepare(runtime: Runtime) -> torch.device:
    """Set torch's threads and products, quiet the libraries, and give the device to work on.

    Raises InputError where this machine has no such device.
    """
    try:
        torch.empty(0, device=runtime.device)
    except (RuntimeError, AssertionError) as error:
        if is_out_of_memory(error):
            raise
        raise InputError(
            f"params.yaml: runtime.device is {runtime.device}, which torch does not find here; "
            "set cpu, or install a torch build for it"
        ) from None
    torch.set_num_threads(runtime.threads)
    if runtime.device == "cpu":
        use_openblas(runtime.threads)
    _keep_memory()
    transformers.utils.logging.disable_progress_bar()
    return torch.device(runtime.device)


def _keep_memory() -> None:
    """Let glibc keep freed memory: else it maps every large tensor's pages anew, a tenth of a
    training step's time on a CPU."""
    allocator = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if allocator is not None:
        allocator(M_MMAP_THRESHOLD, 2**30)
        allocator(M_TRIM_THRESHOLD, 2**31 - 1)


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE with a chat template; any text can be encoded and decoded without loss."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, USER, ASSISTANT, END, SLOT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT, SLOT],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def new_model(params: EmbeddedModel, tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    """A small Llama with random weights from torch's current seed."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=params.width,
            intermediate_size=params.feed_forward,
            num_hidden_layers=params.layers,
            num_attention_heads=params.heads,
            num_key_value_heads=params.heads,
            max_position_embeddings=params.context,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def on_device(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    nn.Module.to(model, device)  # the subclass's own `to` is not typed
    if device.type == "cpu":
        _choose_attention(model.dtype)
    return model


def _choose_attention(dtype: torch.dtype) -> None:
    """Have torch attend by its flash kernel on a CPU, or where that fails by plain products.

    It fails in half precision on processors with AMX when torch is held to AVX2 (`pipeline`): it
    wants to pack keys for AMX, and that part of it was compiled for AVX-512 alone.
    """
    torch.backends.cuda.enable_flash_sdp(True)  # the CPU's, too
    texts = torch.ones(1, 1, 64, 64, dtype=dtype)
    try:
        F.scaled_dot_product_attention(texts, texts, texts)
    except RuntimeError:
        torch.backends.cuda.enable_flash_sdp(False)
