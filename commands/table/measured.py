"""What this run measured of what was published: the nearest way first."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from statistics import fmean
from typing import Any

from pipeline.core.files import KeyPath, read_json
from pipeline.core.params import Params
from pipeline.core.paths import METRICS
from pipeline.core.records import OWN_PROMPTS
from pipeline.evaluation.judges import FITTED, PROBE, RULE, SUBSTRINGS

Trees = Mapping[str, Any]  # of one variant: what metrics/STAGE/VARIANT.json holds, by stage
READ = ("safety", "capability", "monitors")
MONITORS_READ = (
    "logistic", "prototype", "mean_difference", "mahalanobis", "knn", "mlp", "multilayer",
)  # fmt: skip
# Metrics of lm-eval that are shares of documents; of a task, the first that it has is shown.
TASK_SHARES = (
    "acc", "exact_match", "exact_match_strict-match", "exact_match_flexible-extract",
    "exact_match_remove_whitespace", "acc_norm",
)  # fmt: skip
OWN_TASKS = {
    "options": "this corpus' multiple-choice prompts, by likelihood",
    "continuation": "held-out documents' own answers beside others', by likelihood",
}
SAFELY, REFUSED = "harmful_rate", "over_refusal_rate"  # the first is turned round
# What to do where a number was not measured.
REMEDIES = {
    "BT": "this corpus has no harmful prompts that were answered; lay the preset paper-safety over "
    "params.yaml, or name `corpora.csv.safe`",
    "SB": "Salad-Bench was not asked; lay the preset paper-salad over params.yaml, and name "
    "MD-Judge-v0.1 in `judging.models`",
    "XST": "XSTest was not asked; name it in `corpora.hub.requests`, as the preset paper-safety "
    "does, or without the Hub in `corpora.prompts.sets`",
    "cap": "no task was asked; name tasks of lm-eval in `capability.harness`",
    "binary": "this corpus has no harmful texts; lay the preset paper-binary over params.yaml",
    "multi-risk": "this corpus has no kinds of harm; lay the preset paper-safety over params.yaml",
}


@dataclass(frozen=True)
class Measure:
    """A way to measure what a published number says, and where the number stands: the stage, and
    the path in its tree. turned: the published number is 1 minus it. others: more paths, of other
    texts, whose numbers and that one are averaged."""

    way: str
    stage: str
    path: KeyPath
    turned: bool = False
    others: tuple[KeyPath, ...] = ()

    def of(self, trees: Trees) -> Mapping[str, float] | None:
        """Per cent, with `of` as it stands; None where it was not measured."""
        tree = trees.get(self.stage, {})
        parts = [found for path in (self.path, *self.others) if (found := _at(tree, path))]
        if len(parts) <= len(self.others):
            return None
        found = parts[0] if len(parts) == 1 else _mean(parts)
        ends = {key: 100 * found[key] for key in ("value", "low", "high") if key in found}
        if self.turned:
            ends = {TURNED[key]: 100 - number for key, number in ends.items()}
        return ends | ({"of": found["of"]} if "of" in found else {})


TURNED = {"value": "value", "low": "high", "high": "low"}


def _at(tree: Any, path: KeyPath) -> Mapping[str, float]:
    """The estimate at a path; empty where there is none."""
    for key in path:
        tree = tree.get(key, {}) if isinstance(tree, Mapping) else {}
    return tree if isinstance(tree, Mapping) and "value" in tree else {}


def _mean(parts: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """The mean of estimates of different texts, with its interval: the ends' distances from the
    values add up in squares (MOVER, Zou and Donner 2008)."""
    mean = fmean(part["value"] for part in parts)
    ends = {}
    for end, sign in (("low", -1), ("high", 1)):
        if all(end in part for part in parts):
            ends[end] = mean + sign * hypot(*(part[end] - part["value"] for part in parts)) / len(
                parts
            )
    return {"value": mean, **ends}


def read_trees(variant: str, folder: Path = METRICS) -> Trees:
    """What a run measured of a variant; nothing of a stage that has not run."""
    paths = {stage: folder / stage / f"{variant}.json" for stage in READ}
    return {stage: read_json(path) for stage, path in paths.items() if path.is_file()}


def measures(metric: str, params: Params, trees: Trees, concepts: int | None) -> list[Measure]:
    """The ways in which this run measured a published number, nearest first; all of greedy answers,
    or where there are none, of sampled ones.

    trees: of any variant, which says what was measured. concepts: how many the corpus has, None
    where that is not known.
    """
    models = list(params.judging.models)
    md_judges = [name for name, row in params.judging.models.items() if row.format == "md_judge"]
    has_harm = bool(trees.get("monitors", {}).get("harm"))
    match metric:
        case "BT":
            judges = [FITTED, *models, PROBE, RULE, SUBSTRINGS]
            found = _answered(OWN_PROMPTS, SAFELY, judges)
        case "SB":
            found = _answered("salad", SAFELY, [*md_judges, *models, FITTED, PROBE, RULE])
        case "XST":
            found = _answered("xstest", REFUSED, [SUBSTRINGS, RULE, *models])
        case "cap":
            found = _able(trees.get("capability", {}))
        case "binary":
            found = _monitored("harm")
        case "multi-risk":
            found = _monitored("concept") if has_harm and concepts != 2 else iter(())
        case _:
            raise KeyError(metric)
    known = [one for one in dict.fromkeys(found) if one.of(trees) is not None]
    return [one for one in known if one.path[0] == known[0].path[0]]  # of one way of answering


def _answered(prompts: str, rate: str, judges: Iterable[str]) -> Iterator[Measure]:
    judges = list(judges)
    for key, decoding in (("greedy", "greedy answers"), ("judges", "sampled answers")):
        for judge in judges:
            path = (key, judge, prompts, rate)
            yield Measure(f"{judge}, {decoding}", "safety", path, rate == SAFELY)


def _able(tree: Mapping[str, Any]) -> Iterator[Measure]:
    tasks = [
        Measure(f"{task}, {name}", "capability", ("harness", task, name))
        for task, metrics in tree.get("harness", {}).items()
        if (name := next((name for name in TASK_SHARES if name in metrics), None))
    ]
    if len(tasks) > 1:
        first, *others = (task.path for task in tasks)
        way = f"the mean of {len(tasks)} tasks of lm-eval"
        yield Measure(way, "capability", first, others=tuple(others))
    yield from tasks
    for task, way in OWN_TASKS.items():
        yield Measure(way, "capability", (task, "accuracy"))


def _monitored(task: str) -> Iterator[Measure]:
    for kind in MONITORS_READ:
        yield Measure(kind, "monitors", (task, kind, "test", "accuracy"))
