"""The SEER/TELLME training step as it was published, plainly: the yardstick, for benchmarks only.

arXiv 2502.05242 and its public code, from a description of what they compute. Each text is laid out
in two halves of 512 tokens, the request padded on the left and the response on the right. A step
makes six forward passes over these: the frozen model on the retained texts and on view 1, the tuned
model on the retained texts, view 1, view 2, and on view 1 again for the penalty. Hidden states of
all layers are stacked, and logits are made of every token, padding included.

Its quirks are kept: the frozen states of padding count in the retain distance, the tuned ones do
not; padding counts in the penalty; a view's last token is padding unless its response is full.
"""

import gc
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.models.encoding import Encoded
from pipeline.models.peft_import import PeftModel


@dataclass(frozen=True)
class Layout:
    """Texts in two halves: ids and mask [B, 2 * half]."""

    ids: Tensor
    mask: Tensor


def lay_out(
    texts: Sequence[Encoded], half: int, pad: int, device: torch.device | None = None
) -> Layout:
    """Requests padded on the left to `half` tokens, responses on the right; longer ones are cut."""
    ids = torch.full((len(texts), 2 * half), pad)
    mask = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        request = text.ids[: text.prompt_end + 1][-half:]
        response = text.ids[text.prompt_end + 1 :][:half]
        start, end = half - len(request), half + len(response)
        ids[row, start:end] = torch.tensor([*request, *response])
        mask[row, start:end] = 1
    return Layout(ids.to(device), mask.to(device))


def published_terms(
    adapted: PeftModel,
    target_layer: int,
    retained: Layout,
    first: Layout,
    second: Layout,
    temperature: float = 0.1,
) -> dict[str, Tensor]:
    """The contrast at both positions, the retain distance and the penalty, unweighted."""
    labels = first.ids[:, 1:]
    with torch.no_grad(), adapted.disable_adapter():
        adapted.eval()
        frozen = torch.stack(_states(adapted, retained), 1)
        frozen_probabilities = _next_token_log_likelihoods(adapted, first, labels).exp()
        gc.collect()
    adapted.train()
    tuned = torch.stack(_states(adapted, retained), 1) * retained.mask[:, None, :, None]
    gc.collect()
    moved = torch.linalg.vector_norm((tuned - frozen).flatten(1), dim=1).mean()
    ends = [first.ids.shape[1] // 2 - 1, -1]
    views = [_states(adapted, view)[target_layer] for view in (first, second)]
    contrasts = [_infonce(views[0][:, end], views[1][:, end], temperature) for end in ends]
    likelihoods = _next_token_log_likelihoods(adapted, first, labels)
    penalty = -(frozen_probabilities * likelihoods).sum(1).mean()
    gc.collect()
    return {"contrast": torch.stack(contrasts).mean(), "retain": moved, "penalty": penalty}


def _states(adapted: PeftModel, layout: Layout) -> tuple[Tensor, ...]:
    """The hidden states [B, T, D] of all layers."""
    output = adapted(
        input_ids=layout.ids,
        attention_mask=layout.mask,
        output_hidden_states=True,
        use_cache=False,
    )
    return tuple(output.hidden_states)


def _next_token_log_likelihoods(adapted: PeftModel, layout: Layout, labels: Tensor) -> Tensor:
    """log p of every next token: [B, T - 1]."""
    output = adapted(input_ids=layout.ids, attention_mask=layout.mask, use_cache=False)
    log_probabilities = output.logits[:, :-1].log_softmax(-1)
    chosen: Tensor = log_probabilities.gather(2, labels[:, :, None])[:, :, 0]
    return chosen


def _infonce(one: Tensor, two: Tensor, temperature: float) -> Tensor:
    similarity = F.normalize(one, dim=-1) @ F.normalize(two, dim=-1).T / temperature
    return F.cross_entropy(similarity, torch.arange(len(one), device=one.device))
