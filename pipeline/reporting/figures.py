"""Which pictures a run has: stored numbers in, pictures by name out."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from pipeline.core.concepts import spoken
from pipeline.core.representations import Representations
from pipeline.reporting.bars import grouped_bars, margin_scatter, tradeoff
from pipeline.reporting.curves import layer_curves, training_curves
from pipeline.reporting.headline import Headline, layers_of
from pipeline.reporting.heat_maps import cosine_tables
from pipeline.reporting.maps import concept_map, spots_of
from pipeline.reporting.style import looks
from pipeline.reporting.svg import Picture

Metrics = Mapping[str, Any]

ESTIMATE = ["value", "low", "high"]
SCORED_ON = {"test": "test texts", "novel": "novel texts: words never labelled"}
ACCURACIES = {"centroid_accuracy": "nearest centroid", "knn_accuracy": "k-NN"}
OVER_LAYERS = {"knn_accuracy": "k-NN accuracy", "silhouette": "silhouette"}
ANSWER_RATES = {
    "harmful_rate": "answers a harmful request",
    "over_refusal_rate": "refuses a safe one",
}
TRADED_HARMS = ANSWER_RATES | {
    "wrong": "chooses a wrong option of a question",
    "perplexity": "perplexity",
}
ABILITIES = ("options", "continuation")  # questions with options; the first kind that was asked
EDITED = {
    ("test", "harmful_rate_framed"): "answers framed harmful requests",
    ("novel", "harmful_rate_framed"): "answers framed harmful requests in words never labelled",
    ("test", "over_refusal_rate_plain"): "refuses plain safe requests",
    ("heldout", "specificity"): "next tokens unchanged on unrelated texts",
}


def words_alone(text_only: Metrics, question: str, position: str) -> Metrics:
    """What classifiers of words measure of every group of texts, of the words that a state at a
    position has read; empty where that is not asked."""
    read = "prompt" if position == "prompt_end" else "whole"
    found: Metrics = text_only.get(question, {}).get(read, {})
    return found


def of_representations(
    stored: Mapping[str, Representations], layer: int, position: str, num_texts: int, seed: int
) -> dict[str, Picture]:
    """Where held-out texts of the compared variants lie."""
    return {"map": concept_map(spots_of(stored, layer, position, num_texts, seed))}


def of_separation(
    separation: Mapping[str, Metrics],
    text_only: Metrics,
    compared: tuple[str, ...],
    layer: int,
    position: str,
) -> dict[str, Picture]:
    """Accuracies of every variant beside what the words alone give; compared ones over layers."""
    bars = table(
        (SCORED_ON[split], name, label, tree[f"layer_{layer}"][position][split][metric])
        for split in SCORED_ON
        for name, tree in separation.items()
        if split in tree[f"layer_{layer}"][position]
        for metric, label in ACCURACIES.items()
    )
    words = words_alone(text_only, "concept", position)
    heights = {
        SCORED_ON[split]: words[split]["accuracy"]["value"] for split in SCORED_ON if split in words
    }
    curves = pd.DataFrame(
        [
            (label, at, name, depth, *(tree[f"layer_{depth}"][at]["test"][metric][part]
                                       for part in ESTIMATE))
            for metric, label in OVER_LAYERS.items()
            for name, tree in separation.items()
            if name in compared
            for depth in layers_of(tree)
            for at in tree[f"layer_{depth}"]
        ],
        columns=["metric", "position", "variant", "layer", *ESTIMATE],
    )  # fmt: skip
    cosines = pd.DataFrame(
        [
            (name, spoken(one), spoken(other), distances["cosine"]["value"])
            for name in compared
            for first, others in separation[name]["pairs"]["test"].items()
            for second, distances in others.items()
            if "cosine" in distances
            for one, other in {(first, second), (second, first)}
        ],
        columns=["variant", "first", "second", "cosine"],
    ).sort_values(["variant", "first", "second"], kind="stable")
    reference = ("TF-IDF and logistic regression", heights)
    return {
        "separation": grouped_bars(bars, "accuracy on held-out texts, by variant", reference),
        "layers": layer_curves(curves, looks(list(separation)), layer),
        "cosines": cosine_tables(cosines),
    }


def of_transport(transport: Mapping[str, Metrics]) -> dict[str, Picture]:
    """The normalised margin of every variant and layer beside the gap that it should bound."""
    pictures = {}
    for split in SCORED_ON:
        gap = f"gap_{split}"
        points = pd.DataFrame(
            [
                (name, depth, marks["kv_margin"]["value"], marks[gap]["value"])
                for name, tree in transport.items()
                for depth in layers_of(tree)
                if {"kv_margin", gap} <= (marks := tree[f"layer_{depth}"]).keys()
            ],
            columns=["variant", "layer", "kv_margin", gap],
        )
        if len(points):
            drawn = margin_scatter(points, "kv_margin", gap, looks(list(transport)))
            pictures[f"transport_{split}"] = drawn
    return pictures


def of_control(control: Mapping[str, Metrics]) -> dict[str, Picture]:
    """Every edit before and after; nothing where a corpus lets no such edit be measured."""
    bars = table(
        (label, spoken(edit), when, tree[split][measure][when])
        for (split, measure), label in EDITED.items()
        for edit, tree in control.items()
        if measure in tree.get(split, {})
        for when in ("before", "after")
    )
    return {} if bars.empty else {"control": grouped_bars(bars, "shares before and after an edit")}


def of_behaviour(
    rows: Mapping[str, Headline], capability: Mapping[str, Metrics]
) -> dict[str, Picture]:
    """Both ways of going wrong, and what each costs in the other, in ability and in fluency;
    nothing where a corpus has requests of neither kind, no trade-off where it has only one kind.
    capability: what each variant can do, nothing of one that was asked nothing."""
    everyone = list(rows)
    rates = table(
        ("share of answers", name, label, row[rate])
        for name, row in rows.items()
        for rate, label in ANSWER_RATES.items()
        if rate in row
    )
    if rates.empty:
        return {}
    drawings: dict[str, Picture] = {
        "behaviour": grouped_bars(rates, "how answers go wrong, by variant")
    }
    known = {name: {**row, **_wrong(capability.get(name, {}))} for name, row in rows.items()}
    shared = [number for number in TRADED_HARMS if all(number in row for row in known.values())]
    if ANSWER_RATES.keys() <= {*shared}:
        across, *costs = shared
        points = pd.DataFrame(
            [
                (name, number, *(row[number][part] for part in ESTIMATE))
                for name, row in known.items()
                for number in shared
            ],
            columns=["variant", "number", *ESTIMATE],
        )
        pairs = [(across, cost) for cost in costs]
        drawings["tradeoff"] = tradeoff(points, pairs, TRADED_HARMS, looks(everyone))
    return drawings


def _wrong(capability: Metrics) -> Headline:
    """The share of questions whose right option is not the likeliest."""
    task = next((task for task in ABILITIES if task in capability), None)
    if task is None:
        return {}
    value, low, high = (1 - capability[task]["accuracy"][end] for end in ("value", "high", "low"))
    return {"wrong": {"value": value, "low": low, "high": high}}


def of_training(curves: Mapping[str, pd.DataFrame]) -> dict[str, Picture]:
    """The finetunes' terms over steps; nothing where no variant is trained."""
    steps = pd.concat(
        [
            curve.melt("step", var_name="term").assign(variant=name)
            for name, curve in curves.items()
            if len(curve)
        ]
        or [pd.DataFrame()]
    )
    if steps.empty:
        return {}
    return {"training": training_curves(steps, looks(list(curves)))}


def table(rows: Iterator[tuple[str, str, str, Metrics]]) -> pd.DataFrame:
    """Estimates as bars take them, from (panel, group, series, estimate)."""
    return pd.DataFrame(
        [(*row[:3], *(row[3][part] for part in ESTIMATE)) for row in rows],
        columns=["panel", "group", "series", *ESTIMATE],
    )
