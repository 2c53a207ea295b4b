"""Suffixes behind prompts that make a monitor take them for harmless: drawn, or found by gradients.

Every search takes a number of forward passes for each prompt; one with a gradient counts as
GRADIENT_PASSES. Prompts are attacked side by side, each by itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.sections import GRADIENT_PASSES, Attacks
from pipeline.inference.differentiable import HarmReader
from pipeline.models.encoding import Encoder, token_batches
from pipeline.models.hooks import hidden_states
from pipeline.models.padding import padded

TOP = 32  # tokens that a gradient promises most of, of which swaps are drawn
RATE = 0.3  # of Adam, in standard deviations of the numbers of embeddings


@dataclass(frozen=True)
class Slotted:
    """N prompts with slots for a suffix of S tokens at the end of each one's text, and what the
    chat template has behind it: ids and mask [N, T], padded on the right; slots [N, S] and ends
    [N], the indices of the suffix and of the last token."""

    ids: Tensor
    mask: Tensor
    slots: Tensor
    ends: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def every(self, times: int) -> "Slotted":
        """Each prompt so many times, one after the other."""
        return Slotted(*(part.repeat_interleave(times, 0) for part in vars(self).values()))

    def part(self, rows: slice) -> "Slotted":
        return Slotted(*(part[rows] for part in vars(self).values()))

    def filled(self, suffixes: Tensor) -> "Slotted":
        """With these tokens [N, S] in the slots."""
        return replace(self, ids=self.ids.scatter(1, self.slots, suffixes))


@dataclass(frozen=True)
class FoundSuffix:
    """What a search found: the suffix of every prompt, tokens [N, S] or vectors [N, S, D], and the
    least logit of harm [N] after so many forward passes."""

    best: Tensor
    steps: list[tuple[int, Tensor]]


@dataclass(frozen=True)
class Target:
    """A model and the monitors that read its states, by kind."""

    model: PreTrainedModel
    encoder: Encoder
    readers: Mapping[str, HarmReader]
    tokens_per_batch: int

    def slotted(self, prompts: Sequence[str], tokens: int) -> Slotted:
        """Prompts with slots for so many tokens."""
        parts = self.encoder.around_suffix(prompts, tokens)
        rows = [[*before, *[self.encoder.pad] * tokens, *after] for before, after in parts]
        ids, mask = padded(rows, self.encoder.pad, "right")
        starts = torch.tensor([len(before) for before, _ in parts])
        ends = torch.tensor([len(row) - 1 for row in rows])
        found = (ids, mask, starts[:, None] + torch.arange(tokens), ends)
        return Slotted(*(part.to(self.model.device) for part in found))

    def embeddings(self, ids: Tensor) -> Tensor:
        """What the model's first block is given for tokens [...]: [..., D]."""
        with torch.no_grad():
            found: Tensor = self.model.get_input_embeddings()(ids)
        return found

    def logits(
        self, rows: Slotted, vectors: Tensor | None = None, only: str = ""
    ) -> dict[str, Tensor]:
        """The logits of harm [N] by kind of monitor, or of `only` one, of prompts with their suffix
        filled in, or with vectors [N, S, D] in its slots."""
        with torch.no_grad():
            found = [
                self._read(rows.part(part), None if vectors is None else vectors[part], only)
                for part in self._batches(rows)
            ]
        return {kind: torch.cat([own[kind] for own in found]) for kind in found[0]}

    def gradient(self, kind: str, rows: Slotted, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """The logits [N] of prompts with vectors [N, S, D] in their slots, and their gradient by
        these vectors."""
        logits: list[Tensor] = []
        gradients: list[Tensor] = []
        for part in self._batches(rows):
            own = vectors[part].detach().requires_grad_()
            logit = self._read(rows.part(part), own, kind)[kind]
            gradients += torch.autograd.grad(logit.sum(), own)
            logits.append(logit.detach())
        return torch.cat(logits), torch.cat(gradients)

    def of_words(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """The logits of harm [N] by kind of monitor, of prompts as the encoder reads them."""
        texts = self.encoder.texts([(prompt, "") for prompt in prompts])
        found = {kind: torch.zeros(len(texts), device=self.model.device) for kind in self.readers}
        for chosen in token_batches(texts, self.tokens_per_batch):
            batch = self.encoder.batch([texts[i] for i in chosen], self.model.device)
            slots = torch.zeros(len(chosen), 0, dtype=torch.long, device=self.model.device)
            for kind, own in self.logits(Slotted(batch.ids, batch.mask, slots, batch.last)).items():
                found[kind][chosen] = own
        return found

    def _read(self, rows: Slotted, vectors: Tensor | None, only: str = "") -> dict[str, Tensor]:
        given = rows.ids
        if vectors is not None:
            given = self.embeddings(rows.ids)
            at = rows.slots[..., None].expand(-1, -1, given.shape[-1])
            given = given.scatter(1, at, vectors.to(given.dtype))
        readers = {kind: self.readers[kind] for kind in ([only] if only else self.readers)}
        layers = {layer for reader in readers.values() for layer in reader.layers}
        states = hidden_states(self.model, given, rows.mask, sorted(layers))
        return {
            kind: reader.logits(states, rows.mask.bool(), rows.ends)
            for kind, reader in readers.items()
        }

    def _batches(self, rows: Slotted) -> Iterator[slice]:
        size = max(1, self.tokens_per_batch // rows.ids.shape[1])
        return (slice(start, start + size) for start in range(0, len(rows), size))


def random_suffixes(
    target: Target, rows: Slotted, drawn: Tensor, settings: Attacks
) -> dict[str, FoundSuffix]:
    """The best of suffixes [N, P, S] that were drawn, by kind of monitor."""
    count, draws, _ = drawn.shape
    every = target.logits(rows.every(draws).filled(drawn.flatten(0, 1)))
    found = {}
    for kind, logits in every.items():
        least, index = logits.reshape(count, draws).cummin(1)
        best = drawn[torch.arange(count, device=drawn.device), index[:, -1]]
        found[kind] = FoundSuffix(
            best, [(taken, least[:, taken - 1]) for taken in _marks(settings)]
        )
    return found


def token_suffix(
    target: Target,
    kind: str,
    rows: Slotted,
    start: Tensor,
    allowed: Tensor,
    settings: Attacks,
    rng: np.random.Generator,
) -> FoundSuffix:
    """A suffix of tokens, by greedy coordinate gradient (arXiv 2307.15043) of a monitor's logit.

    A step swaps one token of the suffix [N, S], which begins at `start`, for the best of
    settings.swaps candidates, or for none. They are drawn from those of which the gradient through
    the embeddings promises most, among the tokens `allowed` [A].
    """
    table, current, steps = target.embeddings(allowed).float(), start, []
    count, length = start.shape
    top, texts = min(TOP, len(allowed)), torch.arange(count, device=start.device)
    for taken in _marks(settings):
        logit, gradient = target.gradient(kind, rows, target.embeddings(current))
        promising = (gradient.float() @ -table.T).topk(top).indices
        drawn = (rng.integers(most, size=(count, settings.swaps)) for most in (length, top))
        slot, choice = (torch.from_numpy(numbers).to(start.device) for numbers in drawn)
        tokens = allowed[promising[texts[:, None], slot, choice]]
        tried = current[:, None].repeat(1, settings.swaps, 1)
        tried = tried.scatter(2, slot[..., None], tokens[..., None])
        every = rows.every(settings.swaps).filled(tried.flatten(0, 1))
        found = target.logits(every, only=kind)[kind]
        least, best = torch.cat([logit[:, None], found.reshape(count, -1)], 1).min(1)
        current = torch.cat([current[:, None], tried], 1)[texts, best]
        steps.append((taken, least))
    return FoundSuffix(current, steps)


def soft_suffix(
    target: Target, kind: str, rows: Slotted, start: Tensor, allowed: Tensor, settings: Attacks
) -> FoundSuffix:
    """A suffix of vectors in place of embeddings, by Adam from those of the tokens `start` [N, S];
    none is longer than the longest embedding of the tokens `allowed` [A]."""
    table = target.embeddings(allowed).float()
    longest = table.norm(dim=-1).max()
    vectors = target.embeddings(start).float()
    optimiser = torch.optim.Adam([vectors], lr=RATE * float(table.std()), fused=True)
    best, least = vectors.clone(), torch.full((len(rows),), torch.inf, device=vectors.device)
    marks, steps = _marks(settings), []
    for number in range(1, settings.passes // GRADIENT_PASSES + 1):
        logit, gradient = target.gradient(kind, rows, vectors)
        better = logit < least
        best[better], least = vectors[better], torch.minimum(logit, least)
        vectors.grad = gradient.float()
        optimiser.step()
        lengths = vectors.norm(dim=-1, keepdim=True)
        vectors.mul_((longest / lengths.clamp(min=1e-12)).clamp(max=1.0))
        taken = number * GRADIENT_PASSES
        steps += [(mark, least) for mark in marks if taken <= mark < taken + GRADIENT_PASSES]
    return FoundSuffix(best, steps)


def _marks(settings: Attacks) -> list[int]:
    """The numbers of passes after which searches are compared: those that steps in token space
    take."""
    step = settings.swaps + GRADIENT_PASSES
    return list(range(step, settings.passes + 1, step))
