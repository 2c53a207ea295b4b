"""The terms of the SEER/TELLME objective: tensors in, a scalar out.

Sources: arXiv 2502.05242 (infonce, nt_xent, retain, the weighted likelihood), arXiv 2004.11362
(supcon). Texts come in two views, z1 and z2, each [B, D]; row i of both is one pair. Labels are the
concept of each pair [B] or, where texts have several concepts, those of both texts [B, 2, C], 0 or
1 each: two texts are of one concept then where they share any.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.core.random_streams import RandomStream, rng_of

Contrast = Callable[[Tensor, Tensor, Tensor, float], Tensor]


def infonce(z1: Tensor, z2: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """-1/B sum_i log softmax_j(cos(z1_i, z2_j) / temperature)_i, from view 1 to view 2 only.

    The paper's loss. Labels are not used: other texts of the same concept count as negatives.
    """
    similarity = F.normalize(z1, dim=-1) @ F.normalize(z2, dim=-1).T / temperature
    return F.cross_entropy(similarity, torch.arange(len(z1), device=z1.device))


def nt_xent(z1: Tensor, z2: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy over both views, 2B anchors, without labels."""
    count = len(z1)
    partners = torch.arange(2 * count, device=z1.device).roll(count)
    return F.cross_entropy(_similarity_without_self(z1, z2, temperature), partners)


def supcon(z1: Tensor, z2: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrast: all texts of the anchor's concept are positives.

    mean_i -1/|P(i)| sum_{p in P(i)} log softmax(cos(z_i, .) / temperature)_p over 2B anchors.
    labels: the concepts of each pair. The softmax is over positives too, which compete for its
    probability: one that has more than 1/|P(i)| of it is pushed away.
    """
    positive = _alike(labels).fill_diagonal_(False)
    log_softmax = _similarity_without_self(z1, z2, temperature).log_softmax(dim=1)
    per_anchor = log_softmax.masked_fill(~positive, 0.0).sum(1) / positive.sum(1)
    loss: Tensor = -per_anchor.mean()
    return loss


def true_negatives(z1: Tensor, z2: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """nt_xent without its false negatives: texts of the anchor's concept are none of its negatives.

    mean_i -log(e_ip / (e_ip + sum_{n in N(i)} e_in)) over 2B anchors, with p the other text of the
    anchor's pair, e_ij = exp(cos(z_i, z_j) / temperature) and N(i) the texts of other concepts.
    labels: the concepts of each pair. A batch of one concept costs nothing. Labels take the
    place of the guess in "false negative elimination" (arXiv 2011.11765). Where supcon pulls every
    two texts of a concept together, this pulls pairs alone, which moves the model less.
    """
    count = len(z1)
    partners = torch.arange(2 * count, device=z1.device).roll(count)
    false = _alike(labels).scatter(1, partners[:, None], False)
    similarity = _similarity_without_self(z1, z2, temperature)
    return F.cross_entropy(similarity.masked_fill(false, -torch.inf), partners)


def fixed_direction(z1: Tensor, z2: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """mean_i (1 - cos(z_i, d_i)) / temperature over both views, with d_i the direction of label i.

    No contrast: every text is pulled to a random direction that its label has once and for all, and
    no text sees another. What a contrast gains, it must gain over this.
    labels: the concepts of each pair, counted from 0.
    """
    z = F.normalize(torch.cat([z1, z2]), dim=-1)
    own = label_directions(_shared(labels), z).repeat(2, 1)
    return (1 - (z * own).sum(-1)).mean() / temperature


def fixed_head(z1: Tensor, z2: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of a linear head over the states of both views, to name the label.

    No contrast of texts: logits are cos(z_i, w_c) / temperature over the concepts c of the step.
    The head's rows w_c are random and stay as they are: what learns lies below it, and a head that
    learns as well does no better (arXiv 1801.04540).
    labels: the concepts of each pair, counted from 0.
    """
    z = F.normalize(torch.cat([z1, z2]), dim=-1)
    known, own = _shared(labels).unique(return_inverse=True)
    return F.cross_entropy(z @ label_directions(known, z).T / temperature, own.repeat(2))


def label_directions(labels: Tensor, like: Tensor) -> Tensor:
    """A random direction of length 1 for each label [N], the same in every step: [N, D]."""
    drawn = [
        rng_of(RandomStream.LABEL_DIRECTIONS, 0, label).standard_normal(like.shape[-1])
        for label in labels.tolist()
    ]
    return F.normalize(torch.tensor(np.array(drawn)), dim=-1).to(like)


CONTRASTS: dict[str, Contrast] = {
    "infonce": infonce, "nt_xent": nt_xent, "supcon": supcon, "true_negatives": true_negatives,
    "fixed_direction": fixed_direction, "fixed_head": fixed_head,
}  # fmt: skip


def turned_back(tuned: Tensor, frozen: Tensor) -> Tensor:
    """max(0, cos(tuned, frozen)) of each state: [..., D] to [...]. It is 0 where a state points
    nowhere near the frozen model's (circuit breakers, arXiv 2406.04313, Algorithm 1).

    The frozen model's states are rounded to bfloat16, in which the published code runs: a finetune
    starts where both models are one, the cosine is 1 and its gradient 0 but for that rounding.
    """
    return F.cosine_similarity(_wide(tuned), _wide(frozen.bfloat16()), dim=-1).relu()


def mean_cosine(states: Tensor) -> Tensor:
    """The mean cosine of every two of the states [N, D]; 1 of fewer than two."""
    count = len(states)
    if count < 2:
        return states.sum() * 0.0 + 1.0
    z = F.normalize(_wide(states), dim=-1)
    pairs: Tensor = (z @ z.T).masked_fill(torch.eye(count, dtype=torch.bool, device=z.device), 0.0)
    return pairs.sum() / (count * (count - 1))


def token_distance(tuned: Tensor, frozen: Tensor) -> Tensor:
    """The L2 distance of each token's hidden state from the frozen model's: [..., D] to [...].

    In float32 at least. Keeps no difference for the backward pass; at 0 the gradient is 0.
    """
    moved: Tensor = _TokenDistance.apply(tuned, frozen)  # type: ignore[no-untyped-call]
    return moved


class _TokenDistance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tuned: Tensor, frozen: Tensor) -> Tensor:
        distance: Tensor = torch.linalg.vector_norm(_wide(tuned) - _wide(frozen), dim=-1)
        ctx.save_for_backward(tuned, frozen, distance)
        return distance

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, Tensor | None]:
        tuned, frozen, distance = ctx.saved_tensors
        scale = torch.where(distance > 0, outer / distance, 0.0)
        pull = scale[..., None] * (_wide(tuned) - _wide(frozen))
        to_tuned, to_frozen = ctx.needs_input_grad
        return pull.to(tuned) if to_tuned else None, -pull.to(frozen) if to_frozen else None


def _wide(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def relative_movement(distances: Tensor, lengths: Tensor) -> Tensor:
    """How far states moved, relative to their length: the mean over layers and real tokens.

    distances: token_distance at every layer, and lengths: the norms of the frozen states, both
    [layers, tokens]. Scale-free: 0.01 means that a token's state moved by one per cent, in
    whatever model.
    """
    return (distances / lengths).mean()


def retain_l2(distances: Tensor, texts: Sequence[int]) -> Tensor:
    """The published distance: one L2 norm over a text's layers and tokens, averaged over texts.

    distances: [layers, tokens] of texts end to end; texts: their numbers of tokens. It grows with
    the model's scale and with the square root of a text's length.
    """
    parts = distances.split(tuple(texts), dim=1)
    return torch.stack([torch.linalg.vector_norm(part) for part in parts]).mean()


def weighted_nll(
    tuned_logits: Tensor, frozen_logits: Tensor, targets: Tensor, texts: int
) -> Tensor:
    """-1/B sum over texts and tokens of p0(y_t) log p(y_t): what the published code calls KL.

    It is no divergence: it pulls towards the frozen model's confident tokens. Kept under its
    honest name to reproduce published runs; here it counts real tokens only, and a token that the
    frozen model rules out (a logit of -inf) weighs nothing.
    logits: [tokens, V]; targets: [tokens]; texts: B.
    """
    chosen = targets[:, None]
    weight = frozen_logits.softmax(dim=-1).gather(1, chosen)
    likelihood = tuned_logits.log_softmax(dim=-1).gather(1, chosen)
    return -(weight * likelihood.masked_fill(weight == 0, 0.0)).sum() / texts


def _alike(labels: Tensor) -> Tensor:
    """Which of all 2B texts are of one concept, [2B, 2B]."""
    if labels.dim() == 1:
        both = torch.cat([labels, labels])
        return both[:, None] == both[None, :]
    sets = labels.transpose(0, 1).flatten(0, 1)
    return sets @ sets.T > 0


def _shared(labels: Tensor) -> Tensor:
    """A concept that both texts of each pair have, [B]: the first of those."""
    return labels if labels.dim() == 1 else labels.prod(1).argmax(1)


def _similarity_without_self(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """Cosines of all 2B texts over temperature, [2B, 2B], a text never beside itself."""
    z = F.normalize(torch.cat([z1, z2]), dim=-1)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    return (z @ z.T / temperature).masked_fill(itself, -torch.inf)
