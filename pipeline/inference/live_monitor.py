"""A saved monitor at work in any causal model of Hugging Face.

It reads hidden states in the model's own forward passes, and so after every token that the model
generates:

    monitor = load_monitor(Path("models/monitors/true_negatives/mean.json"))
    with watching(model, monitor) as live:
        model.generate(**inputs)
    live.judgements()  # of the first row: at the prompt's end, and after each generated token
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.core.console import InputError
from pipeline.core.finite import not_finite
from pipeline.inference.fingerprint import check_model
from pipeline.models.encoding import Encoder
from pipeline.models.hooks import decoder_blocks, decoder_of, unwrapped
from pipeline.monitors.saved import SavedMonitor


@dataclass(frozen=True)
class Judgement:
    """A monitor's decision about a text so far: the likeliest label, the score in [0, 1], and the
    layer that was read. threshold: None for a monitor that raises no alarm."""

    label: str
    score: float
    threshold: float | None
    layer: int

    @property
    def alarm(self) -> bool:
        return self.threshold is not None and self.score >= self.threshold


class LiveMonitor:
    """A monitor beside a running model: the logits [B, K] of its classes after every forward pass.

    Logits stay on the model's device until they are asked for, so that no forward pass waits for
    them. They are in float64, as those of the fitted monitor are: near 1, where a threshold may
    lie, different probabilities are one number in float32. On mps, which has no float64, logits are
    in float32 and only their softmax is in float64.
    """

    def __init__(self, monitor: SavedMonitor, device: torch.device):
        self.monitor = monitor
        bias = monitor.bias - monitor.weights @ monitor.centre
        self._precision = torch.float32 if device.type == "mps" else torch.float64
        self._weights, self._bias = (
            torch.from_numpy(tensor).to(self._precision).to(device)
            for tensor in (monitor.weights, bias)
        )
        self._logits: list[Tensor] = []
        self.tokens = 0  # how many the text has so far, with those that a cache held already
        self._last = torch.zeros(0, device=device)
        self._sums = self._counts = torch.zeros(0, device=device)

    @property
    def probabilities(self) -> Tensor:
        """Class probabilities [steps, B, K], on the CPU: at the prompt's end, then after every
        token."""
        return torch.stack(self._logits).cpu().double().softmax(-1)

    def judgements(self, row: int = 0) -> list[Judgement]:
        """The judgements of one row, step by step. A batch goes on until its last row has ended:
        ignore the steps after this row's end. Raises InputError for a state that is not finite, as
        `latest` does: no alarm would be raised on it."""
        return [self._judgement(step) for step in self.probabilities[:, row].numpy()]

    def latest(self) -> list[Judgement]:
        """The judgement of every row after the latest forward pass."""
        return [self._judgement(row) for row in self._logits[-1].cpu().double().softmax(-1).numpy()]

    def read(
        self, hidden: Tensor, mask: Tensor | None, before: int, continues_prompt: bool = False
    ) -> None:
        """Add the states [B, T, D] of new tokens. mask: [B, T], 1 for real tokens; None where
        all are. before: how many tokens came before them. continues_prompt: the last pass read the
        same prompt's beginning; its logits give way to those at the prompt's end."""
        self.tokens = before + hidden.shape[1]
        if continues_prompt:
            self._logits.pop()
        elif self.monitor.position == "prompt_end" and self._logits:
            return
        state = (
            self._mean(hidden, mask, before == 0)
            if self.monitor.position == "mean"
            else self._last_real(hidden, mask, continues_prompt)
        )
        self._logits.append(F.linear(state.to(self._precision), self._weights, self._bias))

    def _mean(self, hidden: Tensor, mask: Tensor | None, is_first: bool) -> Tensor:
        if mask is None:
            sums = hidden.float().sum(1)
            counts = torch.full_like(sums[:, :1], hidden.shape[1])
        else:
            real = mask[..., None].to(hidden.device, torch.float32)
            sums, counts = (hidden.float() * real).sum(1), real.sum(1)
        if not is_first:
            sums, counts = self._sums + sums, self._counts + counts
        self._sums, self._counts = sums, counts
        return sums / counts

    def _last_real(self, hidden: Tensor, mask: Tensor | None, continues_prompt: bool) -> Tensor:
        """The states [B, D] of every row's last real token. A row whose prompt ended in an earlier
        pass keeps the one that it has."""
        if mask is None:
            return hidden[:, -1]
        real = mask.to(hidden.device).bool()
        indices = torch.arange(real.shape[1], device=hidden.device) * real
        found = hidden[torch.arange(len(hidden), device=hidden.device), indices.argmax(1)]
        if continues_prompt:
            found = torch.where(real.any(1)[:, None], found, self._last)
        self._last = found
        return found

    def _judgement(self, probabilities: Any) -> Judgement:
        if not np.isfinite(probabilities).all():
            raise not_finite("a text under a monitor", f"its states at layer {self.monitor.layer}")
        score = self.monitor.score(probabilities)
        label = self.monitor.label(probabilities, score)
        return Judgement(label, score, self.monitor.threshold, self.monitor.layer)


@contextmanager
def watching(model: Any, monitor: SavedMonitor, check: bool = True) -> Iterator[LiveMonitor]:
    """Within, a monitor reads every forward pass of a model, and changes none.

    For one generation, or one batch of prompts, at a time: greedy or sampled, with or without a
    cache, padded on either side, the prompt read at once or in chunks (prefill_chunk_size).
    check: run check_model first, which costs one forward pass of sixteen tokens.
    Raises InputError as check_model; for an attention mask that is not [B, T]; for beam search and
    assisted generation, which take tokens back; and for a mean over a text whose first tokens lie
    in a cache that was filled before.
    """
    if check:
        check_model(model, monitor)
    decoder, blocks = decoder_of(model), decoder_blocks(model)
    live = LiveMonitor(monitor, next(iter(model.parameters())).device)
    now: dict[str, Any] = {"prompt_passes": None}  # how many have read a prompt that has not ended

    def enter(_: Any, __: Any, kwargs: dict[str, Any]) -> None:
        mask, cache = kwargs.get("attention_mask"), kwargs.get("past_key_values")
        if mask is not None and not (isinstance(mask, Tensor) and mask.ndim == 2):
            raise InputError("a monitor needs the plain attention mask [B, T] of its texts")
        now.update(mask=mask, before=0 if cache is None else int(cache.get_seq_length()))
        _check_before(live, now["before"])

    def see(hidden: Tensor) -> None:
        mask, length, passes = now["mask"], hidden.shape[1], now["prompt_passes"]
        # One new token is real, or its row has ended, unless it is of a prompt.
        is_real = mask is None or (length == 1 and passes is None)
        live.read(
            hidden.detach(), None if is_real else mask[:, -length:], now["before"], bool(passes)
        )
        now["prompt_passes"] = None if passes is None else passes + 1

    def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        see(args[0] if args else kwargs["hidden_states"])

    def after(_: Any, __: Any, ___: Any, output: Any) -> None:
        see(output.last_hidden_state if hasattr(output, "last_hidden_state") else output[0])

    handles = [decoder.register_forward_pre_hook(enter, with_kwargs=True)]
    if monitor.layer < len(blocks):
        block = blocks[monitor.layer]
        handles.append(block.register_forward_pre_hook(before, with_kwargs=True))
    else:
        handles.append(decoder.register_forward_hook(after, with_kwargs=True))
    try:
        with _prompts_told(model, now):
            yield live
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _prompts_told(model: Any, now: dict[str, Any]) -> Iterator[None]:
    """Within, now["prompt_passes"] counts the passes over a prompt that `generate` is reading."""
    inner = unwrapped(model)
    own: Any = getattr(inner, "_prefill", None)

    def prefill(ids: Tensor, generation_config: Any, *args: Any, **kwargs: Any) -> Any:
        if generation_config.num_beams > 1:
            raise _takes_back("beam search")
        now["prompt_passes"] = 0
        try:
            return own(ids, generation_config, *args, **kwargs)
        finally:
            now["prompt_passes"] = None

    if own:
        vars(inner)["_prefill"] = prefill
    try:
        yield
    finally:
        vars(inner).pop("_prefill", None)


def _check_before(live: LiveMonitor, before: int) -> None:
    """Raises InputError where the tokens that a cache holds are not those that were read."""
    if 0 < before < live.tokens:
        raise _takes_back("this generation")
    if before > live.tokens and live.monitor.position == "mean":
        raise InputError(
            f"the cache holds {before - live.tokens} tokens that the monitor did not read, and it "
            "judges by the mean over all of them; generate without that cache, or use a monitor of "
            "the last token"
        )


def _takes_back(way: str) -> InputError:
    return InputError(
        f"{way} takes tokens back, so that no monitor can follow it; generate greedily or sample"
    )


@torch.no_grad()
def judge_prompts(
    model: Any, encoder: Encoder, monitor: SavedMonitor, prompts: Sequence[str], per_batch: int = 32
) -> list[Judgement]:
    """A monitor's judgements of prompts, each in the encoder's chat template, with one forward pass
    for each batch of `per_batch`. It does not check the model: see check_model."""
    found: list[Judgement] = []
    texts = encoder.texts([(prompt, "") for prompt in prompts])
    for start in range(0, len(texts), per_batch):
        batch = encoder.batch(texts[start : start + per_batch], model.device)
        with watching(model, monitor, check=False) as live:
            decoder_of(model)(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False)
        found += live.latest()
    return found
