"""A judge model: which concept does a text speak of, whether or not it names one?

The judge is the untouched base model whatever model spoke, so that it never changes with what it
judges. It is shown a text in words, in the place of asking.question's message, and chooses the
concept whose closed answer it finds likeliest.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.concepts import says_something, spoken
from pipeline.core.records import Judged
from pipeline.core.sections import Asking
from pipeline.models.encoding import Encoder
from pipeline.selfie.prompts import asked_of_words
from pipeline.selfie.relevancy import with_injection


def judge_texts(
    judge: PreTrainedModel,
    encoder: Encoder,
    texts: Iterable[str],
    concepts: Sequence[str],
    asking: Asking,
    per_batch: int,
) -> list[Judged]:
    """Every distinct text that says something, judged once, in the order of the texts' letters.

    A concept's score is log p(its closed answer | the text) less the mean of the same over the
    closed answers of all concepts, which name each of them once: else a judge would choose the
    name that is likeliest anyway (arXiv 2102.09690). Summed over tokens, not averaged: a longer
    name is as long on both sides. The judge has to choose, so that a text of none of the concepts
    is right by chance; the same judge's accuracy of every control says how often.
    """
    chosen = sorted({text for text in texts if says_something(text)})
    answers = [asking.answer.replace("{concept}", spoken(concept)) for concept in concepts]
    found = log_likelihoods(judge, encoder, [*answers, *chosen], answers, asking, per_batch)
    scores = found[len(answers) :] - found[: len(answers)].mean(0)
    return [
        Judged(text, concepts[int(own.argmax())], tuple(own.tolist()))
        for text, own in zip(chosen, scores, strict=True)
    ]


@torch.no_grad()
def log_likelihoods(
    model: PreTrainedModel,
    encoder: Encoder,
    messages: Sequence[str],
    answers: Sequence[str],
    asking: Asking,
    per_batch: int,
) -> Tensor:
    """log p(answer | asking.question about the message), in nats: [messages, answers]. A
    message keeps as many tokens as a text, its first; `per_batch` answers are read together."""
    cut = encoder.text.prompt_tokens + encoder.text.response_tokens
    prompts = [asked_of_words(encoder, asking, ids[:cut]) for ids in encoder.all_contents(messages)]
    told = encoder.all_contents(answers)
    lengths = torch.tensor([len(ids) for ids in told])
    steps = int(lengths.max())
    tokens = torch.tensor([[*ids, *[0] * (steps - len(ids))] for ids in told])
    by_length = sorted(range(len(prompts)), key=lambda place: len(prompts[place].ids))
    pairs = torch.cartesian_prod(torch.tensor(by_length), torch.arange(len(told)))
    found = torch.zeros(len(prompts), len(told))
    for rows, columns in (part.unbind(1) for part in pairs.split(per_batch)):
        asked = [prompts[row] for row in rows.tolist()]
        odds = with_injection(model, asked, None, None, tokens[columns]).cpu()
        real = torch.arange(steps) < lengths[columns, None]
        surest = odds.clamp(min=torch.finfo(odds.dtype).tiny)  # what underflows is likely nowhere
        found[rows, columns] = (surest.log() * real).sum(1)
    return found
