"""A stand-in for vLLM with the names and arguments that its pages document (0.30), and no other: it
answers with transformers and PEFT, one prompt after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from pipeline.models.peft_import import PeftModel

ENGINE = {  # arguments of LLM and of EngineArgs, which LLM hands on
    "tokenizer", "tokenizer_mode", "skip_tokenizer_init", "trust_remote_code", "revision",
    "tokenizer_revision", "tensor_parallel_size", "dtype", "quantization", "seed",
    "gpu_memory_utilization", "enforce_eager", "hf_overrides", "max_model_len", "max_num_seqs",
    "generation_config", "override_generation_config", "enable_lora", "max_loras",
    "max_lora_rank", "max_cpu_loras", "lora_dtype", "distributed_executor_backend",
}  # fmt: skip
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


@dataclass
class SamplingParams:
    n: int = 1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    max_tokens: int | None = 16
    min_tokens: int = 0
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    detokenize: bool = True
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.n < 1 or (self.max_tokens or 1) < 1:
            raise ValueError("a sampling parameter is out of its range")
        if self.temperature == 0 and self.n > 1:
            raise ValueError(f"n must be 1 when using greedy sampling, got {self.n}.")


@dataclass(frozen=True)
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str = ""
    base_model_name: str | None = None

    def __post_init__(self) -> None:
        if self.lora_int_id < 1:
            raise ValueError(f"id must be > 0, got {self.lora_int_id}")


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: Sequence[int]


@dataclass
class RequestOutput:
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput] = field(default_factory=list)


class LLM:
    made: list["LLM"] = []  # noqa: RUF012 - what a test looks into

    def __init__(self, model: str, **wanted: Any):
        assert set(wanted) <= ENGINE, set(wanted) - ENGINE
        if wanted.get("enable_lora") and wanted.get("max_lora_rank", 16) not in RANKS:
            raise ValueError("max_lora_rank is none of those that there are")
        assert not {path.suffix for path in Path(model).iterdir()} & {".py", ".bin"}
        self.folder, self.wanted = model, wanted
        self.adapters: dict[int, LoRARequest] = {}
        self.asked: list[tuple[int, str | None]] = []  # prompts of a call, and their adapter
        LLM.made.append(self)

    def generate(
        self,
        prompts: Sequence[dict[str, list[int]]],
        sampling_params: Sequence[SamplingParams] | SamplingParams | None = None,
        *,
        use_tqdm: bool = True,
        lora_request: LoRARequest | None = None,
        priority: list[int] | None = None,
        tokenization_kwargs: dict[str, Any] | None = None,
    ) -> list[RequestOutput]:
        assert isinstance(sampling_params, list)
        assert len(sampling_params) == len(prompts), "paired one by one"
        self.asked.append((len(prompts), lora_request.lora_name if lora_request else None))
        model: Any = AutoModelForCausalLM.from_pretrained(self.folder)
        if lora_request is not None:
            if not self.wanted.get("enable_lora"):
                raise ValueError("LoRA is not enabled")
            known = self.adapters.setdefault(lora_request.lora_int_id, lora_request)
            assert known == lora_request, "an id is one adapter's for ever"
            model = PeftModel.from_pretrained(model, lora_request.lora_path)
            rank = model.peft_config["default"].r
            if rank > self.wanted["max_lora_rank"]:
                raise ValueError(f"LoRA rank {rank} is greater than max_lora_rank")
        pairs = zip(prompts, sampling_params, strict=True)
        return [self._answered(model.eval(), **prompt, params=own) for prompt, own in pairs]

    def _answered(
        self, model: Any, prompt_token_ids: list[int], params: SamplingParams
    ) -> RequestOutput:
        assert params.max_tokens is not None
        assert len(prompt_token_ids) + params.max_tokens <= self.wanted["max_model_len"]
        assert not params.detokenize, "there is no tokenizer (skip_tokenizer_init)"
        ids = torch.tensor([prompt_token_ids])
        greedy = params.temperature == 0
        sampling = {} if greedy else {"temperature": params.temperature, "top_k": 0}
        config = GenerationConfig(
            do_sample=not greedy, max_new_tokens=params.max_tokens, pad_token_id=0,
            eos_token_id=params.stop_token_ids, **sampling,
        )  # fmt: skip
        found = RequestOutput(prompt_token_ids)
        for index in reversed(range(params.n)):  # their order is not promised
            torch.manual_seed((params.seed or 0) + index)
            with torch.no_grad():
                row = model.generate(ids, generation_config=config)[0]
            answer = CompletionOutput(index, "", tuple(row[ids.shape[1] :].tolist()))
            found.outputs.append(answer)
        return found


def modules() -> dict[str, ModuleType]:
    """The modules under the names by which they are imported."""
    top, lora, request = (ModuleType(name) for name in ("vllm", "vllm.lora", "vllm.lora.request"))
    top.LLM, top.SamplingParams = LLM, SamplingParams  # type: ignore[attr-defined]
    request.LoRARequest = LoRARequest  # type: ignore[attr-defined]
    return {module.__name__: module for module in (top, lora, request)}
