"""A judge model: which concept does a text speak of, whether or not it names one?

The judge is always the untouched base model, so that it does not change with the models that it
judges. It is shown a text as the message of asking.question, and chooses the concept whose closed
answer it finds likeliest.
"""

from collections.abc import Iterable, Sequence

from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.concepts import answer_about, says_something
from pipeline.core.records import Judged
from pipeline.core.sections import Asking
from pipeline.models.encoding import Encoder
from pipeline.selfie.prompts import words_prompts
from pipeline.selfie.relevancy import answer_log_likelihoods


def judge_texts(
    judge: PreTrainedModel,
    encoder: Encoder,
    texts: Iterable[str],
    concepts: Sequence[str],
    asking: Asking,
    per_batch: int,
) -> list[Judged]:
    """The judge's choice for every distinct text that says something, sorted by text.

    A concept's score is log p(its closed answer | the text), in nats, minus the mean of the same
    over the closed answers of all concepts, each of which names one of them. Without that mean a
    judge would choose the name that is likeliest anyway (arXiv 2102.09690). Scores are summed over
    tokens, not averaged: a longer name is as long in both terms.
    The judge has to choose. A text of none of the concepts is therefore right by chance; the
    judge's accuracy on the controls shows how often.
    """
    chosen = sorted({text for text in texts if says_something(text)})
    answers = [answer_about(asking, concept) for concept in concepts]
    found = log_likelihoods(judge, encoder, [*answers, *chosen], answers, asking, per_batch)
    scores = found[len(answers) :] - found[: len(answers)].mean(0)
    return [
        Judged(text, concepts[int(own.argmax())], tuple(own.tolist()))
        for text, own in zip(chosen, scores, strict=True)
    ]


def log_likelihoods(
    model: PreTrainedModel,
    encoder: Encoder,
    messages: Sequence[str],
    answers: Sequence[str],
    asking: Asking,
    per_batch: int,
) -> Tensor:
    """log p(answer | asking.question about the message), in nats: [messages, answers].

    A message is cut to its first tokens, as many as a text may have. `per_batch` answers are read
    together.
    """
    cut = encoder.text.prompt_tokens + encoder.text.response_tokens
    prompts = words_prompts(encoder, asking, encoder.cut(messages, slice(cut)))
    targets = encoder.answers(answers)
    return answer_log_likelihoods(model, prompts, None, None, targets, per_batch)
