"""The headline: one row of numbers per variant, out of the stages' detailed metrics."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core.files import KeyPath, read_json, whole
from pipeline.core.paths import METRICS
from pipeline.core.records import CONTROLS, HEADLINE
from pipeline.core.sections import Asking, Reading
from pipeline.reporting.seed_band import SeedValues

READ_SPLITS = {
    "": "test",
    "_novel": "novel",
    "_shifted": "shifted",
}  # by the end of a number's name
STAGES = ("separation", "monitors", "safety", "fidelity", "selfie")

Headline = dict[str, dict[str, float]]
Curves = dict[str, list[tuple[int, str, float, float | str, float | str]]]


def read_metrics(folder: Path, variant: str, seeds: SeedValues | None = None) -> dict[str, Any]:
    """A variant's metrics by stage, in a folder as metrics/ is; their bands over seeds beside
    them."""
    files = {stage: folder / stage / f"{variant}.json" for stage in STAGES}
    files["text_only"] = folder / "text_only.json"  # the same for every variant
    known = seeds or SeedValues()
    return {
        stage: known.beside(read_json(path), (METRICS / path.relative_to(folder)).as_posix())
        for stage, path in files.items()
    }


def headline(metrics: Mapping[str, Any], reading: Reading, asking: Asking) -> Headline:
    """The row of one variant, each number as {value, low, high}, from held-out `test` texts, and
    from `novel` ones where named so; all of behaviour is over all requests.

    A number whose texts a corpus does not have (no novel words, no harmful requests) is left out.
    """
    interpreted = _at(metrics, _interpreted(asking))
    controls = [interpreted[control] for control in CONTROLS]
    numbers = _gathered(metrics, _paths(metrics, reading, asking) | _beside_probes())
    best = max(controls, key=lambda estimate: float(estimate["value"]))
    return numbers | {"selfie_control_accuracy": best}


def differences(metrics: Mapping[str, Any], reading: Reading, asking: Asking) -> Headline:
    """How far each number of a variant's row is from the untouched model's: paired, on the same
    resamples of the same texts, as its stage has written under `difference`.

    A number without one is left out, as is what no finetune moves, and the best of several
    controls: which one that is may differ between the two models.
    """
    paths = _paths(metrics, reading, asking).items()
    paired = {name: (stage, "difference", *path) for name, (stage, *path) in paths}
    return _gathered(metrics, paired)


def _paths(metrics: Mapping[str, Any], reading: Reading, asking: Asking) -> dict[str, KeyPath]:
    """Where each headline number stands: its stage, and the keys in that stage's metrics."""
    read = ("separation", f"layer_{reading.layer}", reading.position)
    # Where the corpus has a safe concept, what matters is harm.
    question = "harm" if "harm" in metrics["monitors"] else "concept"
    monitor, interpreted = ("monitors", question, HEADLINE, "test"), _interpreted(asking)
    crossed = ("selfie", "crossed", *interpreted[2:])
    sure = ("selfie", "confidence", *interpreted[2:], "state", "said")
    probes = {
        f"{name}{end}": ("separation", "probes", probe, split)
        for name, probe in {"probe_accuracy": "read", "best_probe": "best"}.items()
        for end, split in READ_SPLITS.items()
    }
    return probes | {
        "centroid_accuracy": (*read, "test", "centroid_accuracy"),
        "centroid_accuracy_novel": (*read, "novel", "centroid_accuracy"),
        "knn_accuracy": (*read, "test", "knn_accuracy"),
        "knn_accuracy_novel": (*read, "novel", "knn_accuracy"),
        "silhouette": (*read, "test", "silhouette"),
        "cosine_within": (*read, "test", "cosine_within"),
        "cosine_between": (*read, "test", "cosine_between"),
        "coding_rate_gap": (*read, "test", "coding_rate_gap"),
        "monitor_auroc": (*monitor, "auroc"),
        "harmful_rate": ("safety", "harmful_rate"),
        "over_refusal_rate": ("safety", "over_refusal_rate"),
        "refusal_gap": ("safety", "refusal_gap"),
        "perplexity": ("fidelity", "perplexity"),
        "kl_to_base": ("fidelity", "kl_to_base"),
        "kl_of_openings": ("fidelity", "kl_of_openings"),
        "selfie_accuracy": (*interpreted, "state"),
        "selfie_input_only_accuracy": (*interpreted, "input_only"),
        "selfie_logit_lens_accuracy": (*interpreted, "logit_lens"),
        "selfie_base_reader_accuracy": (*crossed, "base_reader"),
        "selfie_reader_only_accuracy": (*crossed, "reader_only"),
        "selfie_affine_accuracy": (*crossed, "affine"),
        "selfie_calibration_error": (*sure, "calibration_error"),
        "selfie_accuracy_of_surest_half": (*sure, "accuracy_at_50"),
    }


def _beside_probes() -> dict[str, KeyPath]:
    """What stands beside the probes' accuracies: the untouched model's best probe, how far the one
    that is read lies above it, and what the words alone give."""
    return {
        f"{name}{end}": path
        for end, split in READ_SPLITS.items()
        for name, path in {
            "best_frozen_probe": ("separation", "probes", "frozen", split),
            "above_best_frozen": ("separation", "probes", "above_frozen", split),
            "words_accuracy": ("text_only", "concept", "whole", split, "accuracy"),
        }.items()
    }


def _interpreted(asking: Asking) -> KeyPath:
    return ("selfie", f"layer_{asking.layer}", "test", asking.positions[0])


def _gathered(metrics: Mapping[str, Any], paths: Mapping[str, KeyPath]) -> Headline:
    found = {name: _at(metrics, path) for name, path in paths.items()}
    return {name: estimate for name, estimate in found.items() if estimate}


def _at(metrics: Mapping[str, Any], path: KeyPath) -> Any:
    """What stands there, or nothing."""
    for key in path:
        metrics = metrics.get(key, {})
    return metrics


def values_of(row: Headline) -> dict[str, float]:
    """A row without its intervals: what `metrics/summary.json` holds."""
    return {name: estimate["value"] for name, estimate in row.items()}


def curves_over_layers(trees: Mapping[str, Mapping[str, Any]], path: KeyPath) -> Curves:
    """Each number at the end of a path within every layer, by variant: rows (layer, variant,
    value, low, high); of a number without an interval both ends are empty."""
    curves: Curves = {}
    for variant, tree in trees.items():
        for layer in layers_of(tree):
            for metric, mark in _at(tree, (f"layer_{layer}", *path)).items():
                curves.setdefault(metric, []).append(
                    (layer, variant, mark["value"], mark.get("low", ""), mark.get("high", ""))
                )
    return curves


def layers_of(tree: Mapping[str, Any]) -> list[int]:
    """The layers that a tree of metrics speaks of, in their order."""
    names = [name for name in tree if name.startswith("layer_")]
    return sorted(int(name.removeprefix("layer_")) for name in names)


def write_curves(folder: Path, curves: Curves) -> None:
    """One small table a number, for `dvc plots`; they come rounded from their metrics."""
    with whole(folder) as draft:
        draft.mkdir()
        for metric, rows in curves.items():
            lines = ["layer,variant,value,low,high", *(",".join(map(str, row)) for row in rows)]
            (draft / f"{metric}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
