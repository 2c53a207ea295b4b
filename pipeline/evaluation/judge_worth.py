"""What judges of answers are worth: how often each is wrong on labelled answers, and how far two
agree on the same answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import binomtest

from pipeline.core.concepts import answers_harmfully
from pipeline.core.records import Example, Request, Verdict
from pipeline.evaluation.bootstrap import Vector, draw_resamples
from pipeline.evaluation.intervals import Statistic
from pipeline.evaluation.judges import Exchange
from pipeline.evaluation.labelled_answers import LabelledAnswers
from pipeline.evaluation.refusals import CountedRate, Rates, is_bad

SENTENCES, TEXTS = "sentences", "texts"  # sets of labelled answers


@dataclass(frozen=True)
class LabelledExchange:
    """An answer and its label: whether it refuses, and whether it is harmful, None where its label
    does not say. `origin` is the set that it is of."""

    id: str
    origin: str
    exchange: Exchange
    refused: bool | None
    harmful: bool | None


def labelled_exchanges(
    sentences: LabelledAnswers, examples: Sequence[Example], safe: Sequence[str]
) -> list[LabelledExchange]:
    """The project's own labelled sentences, and a corpus' held-out texts, whose response is harmful
    or not; one that is harmful refuses nothing."""
    own = [
        LabelledExchange(f"{SENTENCES}-{refused}-{n}", SENTENCES, Exchange("", said), refused, None)
        for refused, texts in ((True, sentences.refusals), (False, sentences.answers))
        for n, said in enumerate(texts)
    ]
    held_out = [e for e in examples if e.split in ("test", "novel") and e.response and safe]
    for e in held_out:
        harmful = answers_harmfully(e, safe)
        shown = Exchange(e.prompt, e.response)
        own.append(LabelledExchange(e.id, TEXTS, shown, False if harmful else None, harmful))
    return own


def error_rates(labelled: Sequence[LabelledExchange], verdicts: Iterable[Verdict]) -> Any:
    """How often judges are wrong: judge -> set of labelled answers -> question -> errors.

    Of the question `refused` or `harmful`: `missed` is the share of such answers that the judge
    calls none, `false_alarms` that of other answers that it calls such, with exact 95 % intervals
    (Clopper and Pearson) and the number of answers that it is of. `unparsed` counts the answers of
    a set on which the judge could not be read; they are in no share.
    """
    by_id = {one.id: one for one in labelled}
    wrong: dict[tuple[str, ...], list[bool]] = {}
    unparsed: dict[tuple[str, str], int] = {}
    for verdict in verdicts:
        one = by_id[verdict.request]
        missing = unparsed.setdefault((verdict.judge, one.origin), 0)
        unparsed[verdict.judge, one.origin] = missing + (not verdict.parsed)
        for question in ("refused", "harmful"):
            truth, said = getattr(one, question), getattr(verdict, question)
            if truth is not None and said is not None:
                error = "missed" if truth else "false_alarms"
                path = (verdict.judge, one.origin, question, error)
                wrong.setdefault(path, []).append(said != truth)
    tree: dict[str, Any] = {}
    for (judge, origin), count in unparsed.items():
        tree.setdefault(judge, {})[origin] = {"unparsed": count}
    for (judge, origin, question, error), own in wrong.items():
        tree[judge][origin].setdefault(question, {})[error] = exact_share(own)
    return tree


def exact_share(hits: Sequence[bool]) -> dict[str, float | int]:
    """A share with its exact 95 % interval, and what it is of."""
    interval = binomtest(sum(hits), len(hits)).proportion_ci()
    share = {"value": sum(hits) / len(hits), "low": interval.low, "high": interval.high}
    return {**share, "of": len(hits)}


def judge_agreement(
    requests: Sequence[Request],
    verdicts: Mapping[str, Sequence[Verdict]],
    resamples: int,
    seed: int,
) -> Rates:
    """Cohen's kappa of every two judges, in [-1, 1], on answers to harmful requests that both could
    be read on: 1 where they always agree, 0 where as often as by chance. By the judges' names
    (`fitted_and_rule`); `of` counts answers. On resamples of requests; a resample of which both
    judges say one and the same throughout is left out, as kappa has no value there."""
    asked = {r.id: number for number, r in enumerate(r for r in requests if r.harmful)}
    if not asked:
        return {}
    counts = draw_resamples(len(asked), resamples, seed)
    found: Rates = {}
    for one, other in combinations(sorted(verdicts), 2):
        said = [
            {(v.request, v.sample): is_bad(v) for v in verdicts[name] if v.parsed}
            for name in (one, other)
        ]
        both = [key for key in said[0].keys() & said[1].keys() if key[0] in asked]
        tables = np.zeros((len(asked), 2, 2))
        for key in both:
            tables[asked[key[0]], int(said[0][key]), int(said[1][key])] += 1
        if both:
            values = kappa(np.tensordot(counts, tables, axes=1))
            found[f"{one}_and_{other}"] = CountedRate(Statistic(values), len(both))
    return found


def kappa(tables: Vector) -> Vector:
    """Cohen's kappa of tables of counts [..., 2, 2]; NaN where chance alone agrees always, and of
    none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = tables / tables.sum((-2, -1), keepdims=True)
        agreed = shares[..., 0, 0] + shares[..., 1, 1]
        by_chance = (shares.sum(-1) * shares.sum(-2)).sum(-1)
        found: Vector = np.where(by_chance < 1, (agreed - by_chance) / (1 - by_chance), np.nan)
    return found
