"""Judge prompts with a saved monitor in vLLM, by the hidden states of its own forward passes.

    legible-export merged true_negatives my/model
    legible-export monitors true_negatives my/monitors
    python -m examples.vllm_monitor my/monitors/prompt_end.json my/model prompts.txt

vLLM is installed beside this project (`pip install vllm`), and wants a card. The tests have
neither: they hold `judge` to a stand-in whose blocks give what vLLM's give, and vLLM itself is
untried. Eager mode lets a block's hook run, and one process lets it keep what it sees.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.core.console import InputError, run
from pipeline.inference.fingerprint import is_same_model, signature_ids
from pipeline.inference.live_monitor import Judgement, LiveMonitor
from pipeline.inference.monitor_cli import read_prompts
from pipeline.monitors.saved import SavedMonitor, load_monitor


class Reader:
    """Keeps the hidden state of the last token that a layer has seen: of one prompt at a time, the
    one at its end. Layers follow Hugging Face: l is the output of block l - 1."""

    def __init__(self, layer: int):
        self.layer, self.state = layer, torch.zeros(0)

    def __call__(self, model: nn.Module) -> int:
        """Hook the layer of a model of vLLM; returns its number of blocks."""
        decoder: Any = getattr(model, "model", model)
        blocks = len(decoder.layers)
        if not 1 <= self.layer <= blocks:
            raise InputError(f"the monitor reads layer {self.layer}; vLLM's are 1 to {blocks}")
        last = self.layer == blocks  # which is read after the final norm
        module = decoder.norm if last else decoder.layers[self.layer - 1]
        module.register_forward_hook(self.keep_normed if last else self.keep)
        return blocks

    def keep(self, _: nn.Module, __: Any, output: Any) -> None:
        """vLLM's blocks give what they add and what they add it to, [tokens, D] each."""
        added, stream = output if isinstance(output, tuple) else (output, None)
        self.state = (added if stream is None else added + stream)[-1].detach().float().cpu()

    def keep_normed(self, _: nn.Module, __: Any, output: Any) -> None:
        states: Tensor = output[0] if isinstance(output, tuple) else output
        self.state = states[-1].detach().float().cpu()


def judge(llm: Any, once: Any, monitor: SavedMonitor, prompts: Sequence[str]) -> list[Judgement]:
    """The judgement of every prompt. once: sampling params for a single token, so that no pass
    follows the prompt's. Raises InputError for another model than the monitor's."""
    reader = Reader(monitor.layer)
    llm.apply_model(reader)
    vocabulary = llm.llm_engine.model_config.get_vocab_size()
    llm.generate({"prompt_token_ids": signature_ids(vocabulary)}, once, use_tqdm=False)
    if not is_same_model(reader.state, torch.from_numpy(monitor.signature), exact=False):
        raise InputError("this is another model than the monitor's; use the one it was fitted on")
    found = []
    for prompt in prompts:
        llm.chat([{"role": "user", "content": prompt}], once, use_tqdm=False)
        live = LiveMonitor(monitor, torch.device("cpu"))
        live.read(reader.state[None, None], None, before=0)
        found += live.latest()
    return found


def main() -> None:
    if len(sys.argv) != 4:
        raise InputError("give a monitor, a model's folder and a file of prompts")
    monitor, prompts = load_monitor(Path(sys.argv[1])), read_prompts(Path(sys.argv[3]))
    if monitor.position != "prompt_end":
        raise InputError("a prompt is judged at its end; give the monitor prompt_end.json")
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    from vllm import LLM, SamplingParams

    llm = LLM(sys.argv[2], enforce_eager=True, max_num_seqs=1)
    judged = judge(llm, SamplingParams(max_tokens=1), monitor, prompts)
    for prompt, judgement in zip(prompts, judged, strict=True):
        alarm = "alarm" if judgement.alarm else ""
        print(f"{prompt}\t{judgement.label}\t{judgement.score:.4f}\t{alarm}")


if __name__ == "__main__":
    run(main)
