"""A finetune under observation: a few validation texts, read again and again as it goes."""

from collections import Counter
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.core.records import Example
from pipeline.models.logits import token_kl
from pipeline.models.packing import pack
from pipeline.training.objective import Objective


class Validation:
    """Measures what a finetune is for, and what it costs, on the same texts every time."""

    def __init__(self, objective: Objective, examples: Sequence[Example], watched_texts: int):
        self.objective, self.finetuned = objective, objective.finetuned
        chosen = in_turn([e for e in examples if e.split == "validation"])[:watched_texts]
        names = sorted({example.concept for example in chosen})
        self.labels = torch.tensor([names.index(example.concept) for example in chosen])
        texts = self.finetuned.encoder.texts([(e.prompt, e.response) for e in chosen])
        self.row = pack(texts, objective.device)
        self.frozen = objective.frozen(self.row, kept=0).final

    @torch.no_grad()
    def measure(self) -> tuple[float, float]:
        """The gap of cosines at the top target layer, in [-2, 2], and the KL in nats per token."""
        finetuned, params = self.finetuned, self.finetuned.params
        seen: dict[int, Tensor] = {}

        def see(layer: int, hidden: Tensor) -> None:
            if layer == params.top_layer:
                seen[layer] = hidden

        objective = self.objective
        objective.use_dropout(False)
        final = objective.read_row(objective.adapted, self.row, see)
        objective.use_dropout(True)
        assert final is not None
        z = self.row.at(seen[params.top_layer], params.positions[0])

        def divergence(hidden: Tensor, part: slice) -> Tensor:
            return token_kl(finetuned.logits(hidden), finetuned.logits(self.frozen[part])).sum()

        kl = finetuned.summed(final, divergence) / len(final)
        return cosine_gap(z.float().cpu(), self.labels), float(kl)


def in_turn(examples: Sequence[Example]) -> list[Example]:
    """The examples with every concept's first one first, then every concept's second, and so on."""
    seen: Counter[str] = Counter()
    turns = []
    for example in examples:
        turns.append(seen[example.concept])
        seen[example.concept] += 1
    order = sorted(range(len(examples)), key=turns.__getitem__)
    return [examples[i] for i in order]


def cosine_gap(vectors: Tensor, labels: Tensor) -> float:
    """Mean cosine of distinct texts [N, D] within a concept minus between, after centring: the
    `cosine_gap` of pipeline/evaluation/separation.py, in the model's float32 and without resamples.

    NaN where there is no pair of the one kind or of the other.
    """
    z = F.normalize(vectors - vectors.mean(0), dim=-1)
    cosine = z @ z.T
    same = labels[:, None] == labels[None, :]
    distinct = ~torch.eye(len(labels), dtype=torch.bool)
    return float(cosine[same & distinct].mean() - cosine[~same].mean())
