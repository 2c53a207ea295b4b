"""How likely a model finds each option of multiple-choice questions."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.console import progress
from pipeline.core.finite import not_finite
from pipeline.core.records import Choice, Question
from pipeline.inference.generation import CHUNK_TOKENS, own_batches
from pipeline.models import distributed
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.finite import check_texts
from pipeline.models.logits import joined_chunks, logits_of
from pipeline.models.packing import ReadRow, pack
from pipeline.models.reader_check import reader_for


@torch.no_grad()
def choices(
    model: PreTrainedModel, encoder: Encoder, questions: Sequence[Question], tokens_per_batch: int
) -> list[Choice]:
    """The likelihood of every option as the answer to its prompt, in the order of questions.

    Options are cut as responses are, and have no token that ends them. Tokens that all options of a
    question begin with tell none from another and are left out. Raises InputError for an option
    whose likelihood is not finite.
    """
    asked = [(q, number) for q in questions for number in range(len(q.options))]
    texts = [_cut(encoder, text) for text in encoder.unended(
        [(q.prompt, q.options[number]) for q, number in asked]
    )]  # fmt: skip
    groups = _grouped(questions, texts)
    starts = [start for group in groups for start in [_start(group)] * len(group)]
    read = reader_for(model, encoder.longest)
    nll: dict[int, float] = {}
    for chosen in progress(own_batches(texts, tokens_per_batch), "choosing"):
        for index, own in zip(chosen, _nll(model, read, [texts[i] for i in chosen]), strict=True):
            nll[index] = float(own[starts[index] - 1 :].sum())
            if not math.isfinite(nll[index]):
                name = f"question {asked[index][0].id}"
                check_texts(read, model, {name: texts[index]})
                raise not_finite(name, "its likelihoods")
    nll = distributed.union(nll)
    return [
        Choice(
            question.id,
            question.task,
            number,
            number == question.right,
            nll[index],
            len(encoder.decode(texts[index].ids[starts[index] :]).encode()),
        )
        for index, (question, number) in enumerate(asked)
    ]


def _cut(encoder: Encoder, text: Encoded) -> Encoded:
    """A text with as many of its answer's tokens as a response has at most."""
    ids = text.ids[: text.prompt_end + 1 + encoder.text.response_tokens]
    return Encoded(ids, text.prompt_end, len(ids) - 1)


def _grouped(questions: Sequence[Question], texts: Sequence[Encoded]) -> list[list[Encoded]]:
    """Each question's texts."""
    left = iter(texts)
    return [[next(left) for _ in question.options] for question in questions]


def _start(group: Sequence[Encoded]) -> int:
    """From which token on the options of a question differ: the first at which not all go on alike,
    but at most the last one of the shortest."""
    first, last = group[0].prompt_end + 1, min(len(text.ids) for text in group) - 1
    return next((n for n in range(first, last) if len({text.ids[n] for text in group}) > 1), last)


def _nll(model: PreTrainedModel, read: ReadRow, texts: Sequence[Encoded]) -> list[Tensor]:
    """-log p of every token of each text but the first, in nats."""
    row = pack(texts, model.device)
    predicting = row.predicting()
    final = read(model, row, lambda *_: None)
    assert final is not None
    targets = row.ids[predicting + 1]
    found = joined_chunks(
        final[predicting],
        lambda own, part: F.cross_entropy(logits_of(model, own), targets[part], reduction="none"),
        CHUNK_TOKENS,
    )
    return list(found.split([length - 1 for length in row.lengths]))
