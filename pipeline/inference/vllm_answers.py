"""Answers by vLLM (arXiv 2309.06180), which serves a base model with every variant's adapter.

vLLM is an extra (`pip install '.[vllm]'`), and wants a card. The tests have neither: they hold what
is asked of it to a stand-in with its names, and vLLM itself is untried here.
"""

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pipeline.core.console import InputError, is_out_of_memory, one_line
from pipeline.inference.answering import AskedFor
from pipeline.models.encoding import Encoder
from pipeline.models.external_base import ends_of_files
from pipeline.models.loading import base_files

LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM may be told of adapters' rank


class VllmServer:
    """A base model in vLLM, and the adapters that it has been given.

    dtype: of its weights. max_tokens: of a prompt and its answer. lora_rank: the adapters' rank, at
    most 512. cards: among how many of this node every block is shared. ends: the tokens that end an
    answer. Raises InputError where vLLM is not installed, or cannot run this model.
    """

    def __init__(
        self, folder: Path, dtype: str, max_tokens: int, lora_rank: int, cards: int, seed: int,
        ends: Sequence[int],
    ):  # fmt: skip
        llm, self.adapter_type, self.sampling_type = _imported()
        with _refusing():
            self.llm = llm(
                model=str(folder),
                skip_tokenizer_init=True,
                dtype=dtype,
                seed=seed,
                tensor_parallel_size=cards,
                max_model_len=max_tokens,
                generation_config="vllm",  # and not what its publisher would have
                enable_lora=True,
                max_lora_rank=next(rank for rank in LORA_RANKS if rank >= lora_rank),
            )
        self.ends = list(ends)
        self.adapters: dict[Path, Any] = {}

    def with_adapter(self, folder: Path) -> "VllmAnswerer":
        """What answers as the variant whose adapter lies in a folder."""
        if folder not in self.adapters:
            self.adapters[folder] = self.adapter_type(
                lora_name=folder.name,
                lora_int_id=len(self.adapters) + 1,
                lora_path=str(folder.resolve()),
            )
        return VllmAnswerer(self, self.adapters[folder])

    def close(self) -> None:
        """End vLLM's processes, and free the card."""
        self.llm = None
        gc.collect()


class VllmAnswerer:
    """Answers as one variant; each answer has a generator of its own."""

    any_lengths = True
    device = torch.device("cpu")  # of torch's generator, which draws nothing

    def __init__(self, server: VllmServer, adapter: Any):
        self.server, self.adapter = server, adapter

    def answer(
        self, prompts: Sequence[Sequence[int]], names: Sequence[str], asked: AskedFor, seed: int
    ) -> list[list[int]]:
        """As of Answerer. Raises InputError where vLLM cannot run the model or its adapter."""
        wanted = [
            self.server.sampling_type(
                n=asked.samples,
                temperature=asked.temperature,
                seed=seed + number * asked.samples,  # from which a prompt's answers count on
                max_tokens=asked.max_new_tokens,
                stop_token_ids=self.server.ends,
                detokenize=False,
            )
            for number in range(len(names))
        ]
        tokens = [{"prompt_token_ids": list(ids)} for ids in prompts]
        with _refusing():
            found = self.server.llm.generate(
                tokens, wanted, use_tqdm=False, lora_request=self.adapter
            )
        return [
            list(answer.token_ids)
            for prompt in found
            for answer in sorted(prompt.outputs, key=lambda one: int(one.index))
        ]


@contextmanager
def vllm_serving(
    base: Path, encoder: Encoder, max_new_tokens: int, lora_rank: int, cards: int, seed: int
) -> Iterator[Callable[[Path], VllmAnswerer]]:
    """Within, a function from the folder of an adapter to what answers with it."""
    longest = encoder.frame_tokens + encoder.text.prompt_tokens + max_new_tokens
    with base_files(base) as (folder, dtype):
        ends = sorted({*ends_of_files(folder), encoder.tokenizer.eos_token_id, *encoder.end})
        server = VllmServer(folder, dtype, longest, lora_rank, cards, seed, ends)
        try:
            yield server.with_adapter
        finally:
            server.close()


def _imported() -> tuple[Any, Any, Any]:
    """vLLM's engine, its request for an adapter and its sampling; it reports its use to nobody."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    try:
        from vllm import LLM, SamplingParams
        from vllm.lora.request import LoRARequest
    except ImportError as error:
        raise InputError(
            f"params.yaml: generation.engine is vllm, which does not load ({one_line(error)}); pip "
            "install '.[vllm]', or set transformers"
        ) from None
    return LLM, LoRARequest, SamplingParams


@contextmanager
def _refusing() -> Iterator[None]:
    """Within, what vLLM cannot do becomes one line."""
    try:
        yield
    except (ValueError, RuntimeError, NotImplementedError) as error:
        if is_out_of_memory(error):
            raise
        raise InputError(
            f"vLLM cannot answer with this model and its adapters ({one_line(error)}); set "
            "generation.engine: transformers"
        ) from None
