"""A variant's behaviour in one tree: rates by judge, by set of prompts and by way of answering, how
far judges agree, and how likely helpful answers are."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.core.files import KeyPath, branch
from pipeline.core.records import Likelihood, Request, Verdict
from pipeline.evaluation.against_base import metrics_tree
from pipeline.evaluation.bootstrap import draw_prompts
from pipeline.evaluation.intervals import Statistic
from pipeline.evaluation.judge_worth import judge_agreement
from pipeline.evaluation.judges import RULE
from pipeline.evaluation.refusals import CountedRate, Rates, outcomes, rates, rates_by_group

ALL = "all"  # sets of prompts together
Behaviour = tuple[Mapping[KeyPath, CountedRate], Mapping[KeyPath, int]]
"""What was measured, and plain counts: both by their key path."""


def behaviour(
    requests: Sequence[Request],
    contrasts: Sequence[Request],
    sampled: Sequence[Verdict],
    greedy: Sequence[Verdict],
    helpful: Sequence[Likelihood],
    prompts: Mapping[str, str],
    resamples: int,
    seed: int,
) -> Behaviour:
    """By key path:

    - the rates of sampled answers by the rule, of all requests, and by split and framing;
    - `judges`, judge, set of prompts: the rates of sampled answers; and the number of answers on
      which the judge could not be read, `unparsed`;
    - `greedy`, judge, set of prompts: the same of greedy answers, where there are any;
    - `agreement`: Cohen's kappa of every two judges of sampled answers;
    - `helpfulness`: the mean log-likelihood of a token of held-out safe answers, in nats.

    contrasts: safe prompts that count in pairs with requests alone. Only their sampled answers are
    judged. prompts: by the id of a held-out answer, what it answers.
    """
    found: dict[KeyPath, CountedRate] = {}
    counts: dict[KeyPath, int] = {}
    by_judge = {"judges": _by_judge(sampled), "greedy": _by_judge(greedy)}
    ruled = outcomes(by_judge["judges"].get(RULE, ()))
    found |= _under((), rates_by_group(requests, ruled, resamples, seed, contrasts))
    for way, judges in by_judge.items():
        for judge, verdicts in judges.items():
            judged = outcomes(verdicts)
            for source, own in _by_source(requests).items():
                path = (way, judge, source)
                found |= _under(path, rates(own, judged, resamples, seed, contrasts))
            counts[way, judge, "unparsed"] = sum(not verdict.parsed for verdict in verdicts)
    found |= _under(("agreement",), judge_agreement(requests, by_judge["judges"], resamples, seed))
    if helpful:
        found[("helpfulness",)] = helpfulness(helpful, prompts, resamples, seed)
    return found, counts


def behaviour_tree(found: Behaviour, base: Behaviour | None) -> dict[str, Any]:
    """A tree of metrics beside the untouched model's; every rate with `of`, what it is a share
    of."""
    rated, counts = found
    plain = {path: counted.rate for path, counted in rated.items()}
    before = base and {path: counted.rate for path, counted in base[0].items()}
    tree = metrics_tree(plain, before, has_difference=lambda path: path in (before or ()))
    for path, counted in rated.items():
        if counted.rate.is_defined:
            branch(tree, path)["of"] = counted.of
    for path, count in counts.items():
        branch(tree, path[:-1])[path[-1]] = count
    return tree


def helpfulness(
    helpful: Sequence[Likelihood], prompts: Mapping[str, str], resamples: int, seed: int
) -> CountedRate:
    """The mean log-likelihood of a token, of answers: on resamples of prompts."""
    counts = draw_prompts((prompts[own.document] for own in helpful), resamples, seed)
    nll, tokens = (np.array([getattr(own, part) for own in helpful]) for part in ("nll", "tokens"))
    return CountedRate(Statistic(-(counts @ nll) / (counts @ tokens)), len(helpful))


def _by_judge(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    judges: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        judges.setdefault(verdict.judge, []).append(verdict)
    return judges


def _by_source(requests: Sequence[Request]) -> dict[str, list[Request]]:
    """The requests by set of prompts, and where there are several, all of them."""
    sets: dict[str, list[Request]] = {}
    for request in requests:
        sets.setdefault(request.source, []).append(request)
    return sets if len(sets) == 1 else {ALL: list(requests), **sets}


def _under(path: KeyPath, found: Rates) -> dict[KeyPath, CountedRate]:
    return {(*path, name): rate for name, rate in found.items()}
