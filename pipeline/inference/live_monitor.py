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
from pipeline.inference.fingerprint import is_same_model, signature_of
from pipeline.models.encoding import Encoder
from pipeline.models.hooks import config_of, decoder_blocks, decoder_of
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

    def read(self, hidden: Tensor, mask: Tensor | None, is_first: bool) -> None:
        """Add the states [B, T, D] of new tokens. mask: [B, T], 1 for real tokens; None where
        all are. is_first: no token came before them."""
        if self.monitor.position == "prompt_end" and self._logits:
            return
        state = (
            self._mean(hidden, mask, is_first)
            if self.monitor.position == "mean"
            else _last_real(hidden, mask)
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

    def _judgement(self, probabilities: Any) -> Judgement:
        if not np.isfinite(probabilities).all():
            raise not_finite("a text under a monitor", f"its states at layer {self.monitor.layer}")
        score = self.monitor.score(probabilities)
        label = self.monitor.label(probabilities, score)
        return Judgement(label, score, self.monitor.threshold, self.monitor.layer)


def check_model(model: Any, monitor: SavedMonitor) -> None:
    """Raises InputError for a model that the monitor was not fitted on: one of another width, with
    too few layers, or with another signature (pipeline.inference.fingerprint)."""
    width, layers = config_of(model).hidden_size, len(decoder_blocks(model))
    if len(monitor.centre) != width:
        raise InputError(
            f"the monitor reads states of width {len(monitor.centre)} and the model's have "
            f"{width}; use the model that it was fitted on"
        )
    if not 0 <= monitor.layer <= layers:
        raise InputError(
            f"the monitor reads layer {monitor.layer} and the model has layers 0 to {layers}; use "
            "the model that it was fitted on"
        )
    exact = model.dtype == torch.float32 and monitor.base.get("dtype") == "float32"
    if not is_same_model(
        signature_of(model, monitor.layer), torch.from_numpy(monitor.signature), exact
    ):
        fitted_on = monitor.base.get("origin") or "the base model trained here"
        raise InputError(
            f"this is another model than the monitor's, which is {fitted_on} finetuned as "
            f"{monitor.variant}; use that one, or fit a monitor on this one"
        )


@contextmanager
def watching(model: Any, monitor: SavedMonitor, check: bool = True) -> Iterator[LiveMonitor]:
    """Within, a monitor reads every forward pass of a model, and changes none.

    For one generation, or one batch of prompts, at a time: greedy or sampled, with or without a
    cache, padded on either side. Not for beam search or assisted generation, which take tokens
    back.
    check: run check_model first, which costs one forward pass of sixteen tokens.
    Raises InputError as check_model, and for an attention mask that is not [B, T].
    """
    if check:
        check_model(model, monitor)
    decoder, blocks = decoder_of(model), decoder_blocks(model)
    live = LiveMonitor(monitor, next(iter(model.parameters())).device)
    now: dict[str, Any] = {}

    def enter(_: Any, __: Any, kwargs: dict[str, Any]) -> None:
        mask, cache = kwargs.get("attention_mask"), kwargs.get("past_key_values")
        if mask is not None and not (isinstance(mask, Tensor) and mask.ndim == 2):
            raise InputError("a monitor needs the plain attention mask [B, T] of its texts")
        now.update(mask=mask, is_first=cache is None or not int(cache.get_seq_length()))

    def see(hidden: Tensor) -> None:
        mask, length = now["mask"], hidden.shape[1]
        # One new token is real, or its row has ended.
        part = None if mask is None or length == 1 else mask[:, -length:]
        live.read(hidden.detach(), part, now["is_first"])

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
        yield live
    finally:
        for handle in handles:
            handle.remove()


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


def _last_real(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """The states [B, D] of every row's last real token."""
    if mask is None:
        return hidden[:, -1]
    indices = torch.arange(mask.shape[1], device=hidden.device) * mask.to(hidden.device)
    return hidden[torch.arange(len(hidden), device=hidden.device), indices.argmax(1)]
