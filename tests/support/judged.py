"""Judges at work on labelled answers."""

from typing import Any

from pipeline.evaluation.judge_worth import SENTENCES, error_rates, labelled_exchanges
from pipeline.evaluation.judges import RULE, RULES, verdicts_of
from pipeline.evaluation.labelled_answers import LabelledAnswers


def errors_on(sentences: LabelledAnswers, name: str = RULE) -> Any:
    """How often a rule is wrong about labelled sentences."""
    labelled = labelled_exchanges(sentences, [], [])
    verdicts = verdicts_of(name, RULES[name], [(one.id, 0, one.exchange) for one in labelled])
    return error_rates(labelled, verdicts)[name][SENTENCES]
