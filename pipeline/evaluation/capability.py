"""What a model can still do: multiple-choice questions, by the likelihood of their options."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pipeline.core.files import KeyPath
from pipeline.core.records import Choice, TaskScore
from pipeline.core.representations import Vectors
from pipeline.evaluation.bootstrap import draw_resamples, resampled_mean
from pipeline.evaluation.intervals import Statistic, share_of

CHANCE = "chance"


def capability(choices: Iterable[Choice], resamples: int, seed: int) -> dict[KeyPath, Statistic]:
    """By task, on resamples of its questions:

    accuracy, the share whose right option is the likeliest; accuracy_by_length, the same of the
    likelihood per byte, which favours no short option; margin, how much likelier the right option
    is than the best wrong one, in nats; chance, the accuracy of a guess. Of equally likely options
    a guess is made. Empty where nothing was asked.
    """
    tasks: dict[str, dict[str, list[Choice]]] = {}
    for choice in choices:
        tasks.setdefault(choice.task, {}).setdefault(choice.question, []).append(choice)
    found: dict[KeyPath, Statistic] = {}
    for task, questions in tasks.items():
        counts = draw_resamples(len(questions), resamples, seed)
        values = _values(list(questions.values()))
        for name in ("accuracy", "accuracy_by_length"):
            found[task, name] = share_of(values[name], counts)
        found[task, "margin"] = Statistic(resampled_mean(values["margin"], counts))
        found[task, CHANCE] = Statistic(values[CHANCE].mean(keepdims=True))
    return found


def harness_means(
    scores: Iterable[TaskScore], resamples: int, seed: int
) -> dict[KeyPath, Statistic]:
    """The mean of each metric of each of lm-eval's tasks, under `harness`, on resamples of its
    documents."""
    values: dict[KeyPath, list[float]] = {}
    for score in scores:
        values.setdefault(("harness", score.task, score.metric), []).append(score.value)
    return {
        path: Statistic(resampled_mean(np.array(own), draw_resamples(len(own), resamples, seed)))
        for path, own in values.items()
    }


def _values(questions: Sequence[Sequence[Choice]]) -> Mapping[str, Vectors]:
    """Each question's [N]."""
    rows = [
        (
            is_likeliest(options, [option.nll for option in options]),
            is_likeliest(options, [option.nll / max(option.bytes, 1) for option in options]),
            min(o.nll for o in options if not o.right) - min(o.nll for o in options if o.right),
            1 / len(options),
        )
        for options in questions
    ]
    names = ("accuracy", "accuracy_by_length", "margin", CHANCE)
    return dict(zip(names, np.array(rows, dtype=float).T, strict=True))


def is_likeliest(options: Sequence[Choice], costs: Sequence[float]) -> float:
    """Whether the right option is the cheapest: the share of the cheapest that is right."""
    cheapest = [option.right for option, cost in zip(options, costs, strict=True)
                if cost == min(costs)]  # fmt: skip
    return sum(cheapest) / len(cheapest)
