"""What a finetune reads, and which of it a step learns from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pipeline.core.concepts import answers_harmfully
from pipeline.core.random_streams import RandomStream, rng_of
from pipeline.core.records import Document, Example, Pair
from pipeline.core.sections import Finetune
from pipeline.models import distributed
from pipeline.models.encoding import Encoder
from pipeline.training.step import StepTexts


@dataclass(frozen=True)
class FinetuneData:
    """What a finetune reads: examples by id, pairs of them, documents to go on reading, and the
    harmless concepts, which are none where no concept means harm."""

    examples: Mapping[str, Example]
    pairs: Sequence[Pair]
    documents: Sequence[Document]
    safe: Sequence[str] = ()

    @cached_property
    def concepts(self) -> list[str]:
        return sorted({c for p in self.pairs for c in (p.concept, *p.first_also, *p.second_also)})

    @cached_property
    def has_sets(self) -> bool:
        """Whether a text of any pair has several concepts."""
        return any(pair.first_also or pair.second_also for pair in self.pairs)

    def labels_of(self, pairs: Sequence[Pair]) -> Tensor:
        """The concept of every pair as an index [B]; where texts have several, those of both texts,
        0 or 1 each: [B, 2, concepts]."""
        if not self.has_sets:
            return torch.tensor([self.concepts.index(pair.concept) for pair in pairs])
        both = [[(p.concept, *p.first_also), (p.concept, *p.second_also)] for p in pairs]
        return torch.tensor(
            [[[float(c in own) for c in self.concepts] for own in texts] for texts in both]
        )

    @cached_property
    def harmful(self) -> frozenset[str]:
        """The ids of texts with a harmful answer."""
        named = self.examples.items()
        return frozenset(name for name, e in named if answers_harmfully(e, self.safe))


def step_records(
    data: FinetuneData, params: Finetune, seed: int, step: int
) -> tuple[Sequence[Pair], Sequence[Document]]:
    """This rank's part of the pairs and of the documents of a step."""
    start = (step - 1) * params.pairs_per_step
    chosen = data.pairs[start : start + params.pairs_per_step]
    drawn = rng_of(RandomStream.RETAINED, seed, step).integers(
        len(data.documents), size=params.retain_per_step
    )
    return (
        distributed.share(chosen, "finetune.pairs_per_step"),
        distributed.share([data.documents[i] for i in drawn], "finetune.retain_per_step"),
    )


def step_texts(
    encoder: Encoder, data: FinetuneData, params: Finetune, seed: int, step: int
) -> StepTexts:
    """This rank's part of what a step, counted from 1, learns from."""
    pairs, kept = step_records(data, params, seed, step)
    first = [data.examples[pair.first] for pair in pairs]
    second = [data.examples[pair.second] for pair in pairs]
    shown = [pair.augmentation for pair in pairs]
    return StepTexts(
        first=encoder.texts([shown_part(e, s) for e, s in zip(first, shown, strict=True)]),
        second=encoder.texts([shown_part(e, s) for e, s in zip(second, shown, strict=True)]),
        labels=data.labels_of(pairs),
        retained=encoder.texts([(document.prompt, document.response) for document in kept]),
        answered=encoder.texts([(e.prompt, e.safe_response) for e in first if e.safe_response]),
        harmful=torch.tensor(
            [
                [e.id in data.harmful and s != "prompt" for e, s in zip(view, shown, strict=True)]
                for view in (first, second)
            ]
        ),
    )


def shown_part(example: Example, shown: str) -> tuple[str, str]:
    """Prompt and response of a text as one view of a pair. A part shown alone is the whole message,
    in the user's turn, so that both of its positions stand after it."""
    match shown:
        case "whole":
            return example.prompt, example.response
        case "prompt":
            return example.prompt, ""
        case "response":
            return example.response or example.prompt, ""
    raise ValueError(f"augmentation {shown!r}: whole, prompt or response")
