"""What this run measured of what was published: the nearest way first."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.files import KeyPath, read_json
from pipeline.core.params import Params
from pipeline.core.paths import METRICS
from pipeline.core.records import OWN_PROMPTS

Trees = Mapping[str, Any]  # of one variant: what metrics/STAGE/VARIANT.json holds, by stage
READ = ("safety", "capability", "monitors")
MONITORS_READ = (
    "logistic", "prototype", "mean_difference", "mahalanobis", "knn", "mlp", "multilayer",
)  # fmt: skip
SAFELY, REFUSED = "harmful_rate", "over_refusal_rate"  # the first is turned round
# What to do where a number was not measured.
REMEDIES = {
    "BT": "this corpus has no harmful prompts that were answered; lay the preset paper-safety over "
    "params.yaml, or name `corpora.csv.safe`",
    "SB": "Salad-Bench was not asked; lay the preset paper-salad over params.yaml, and name "
    "MD-Judge-v0.1 in `judging.models`",
    "XST": "XSTest was not asked; it takes `corpora.source: hub` and `corpora.hub.requests: "
    "[xstest]`, as the preset paper-safety has them",
    "cap": "no task was asked; name tasks of lm-eval in `capability.harness`",
    "binary": "this corpus has no harmful texts; lay the preset paper-binary over params.yaml",
    "multi-risk": "this corpus has no kinds of harm; lay the preset paper-safety over params.yaml",
}


@dataclass(frozen=True)
class Measure:
    """A way to measure what a published number says, and where the number stands: the stage, and
    the path in its tree. turned: the published number is 1 minus it."""

    way: str
    stage: str
    path: KeyPath
    turned: bool = False

    def of(self, trees: Trees) -> Mapping[str, float] | None:
        """Per cent, with `of` as it stands; None where it was not measured."""
        found: Any = trees.get(self.stage, {})
        for key in self.path:
            found = found.get(key, {}) if isinstance(found, Mapping) else {}
        if "value" not in found:
            return None
        ends = {key: 100 * found[key] for key in ("value", "low", "high") if key in found}
        if self.turned:
            ends = {TURNED[key]: 100 - number for key, number in ends.items()}
        return ends | ({"of": found["of"]} if "of" in found else {})


TURNED = {"value": "value", "low": "high", "high": "low"}


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
            judges = ["fitted", *models, "rule", "substrings"]
            found = _answered(OWN_PROMPTS, SAFELY, judges)
        case "SB":
            found = _answered("salad", SAFELY, [*md_judges, *models, "fitted", "rule"])
        case "XST":
            found = _answered("xstest", REFUSED, ["substrings", "rule", *models])
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
    for task, metrics in tree.get("harness", {}).items():
        for name in sorted(metrics, key=lambda name: (name not in ("acc", "exact_match"), name)):
            yield Measure(f"{task}, {name}", "capability", ("harness", task, name))
    for task in ("options", "continuation"):
        yield Measure(f"{task}, by likelihood", "capability", (task, "accuracy"))


def _monitored(task: str) -> Iterator[Measure]:
    for kind in MONITORS_READ:
        yield Measure(kind, "monitors", (task, kind, "test", "accuracy"))
