"""Pictures of the results: stored numbers in, PNG files out, the same bytes every time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.files import whole
from pipeline.params import Asking, Figures, Reading
from pipeline.records import spoken
from pipeline.representations import Representations

Metrics = Mapping[str, Any]

ACCURACIES = {"centroid_accuracy": "nearest centroid", "knn_accuracy": "k-NN"}
SPLITS = {"test": "test texts", "novel": "novel texts: words never labelled"}
RATES = {"harmful_rate": "answers a harmful request", "over_refusal_rate": "refuses a safe one"}
INJECTED = {
    "state": "the state itself",
    "none": "nothing",
    "random": "random vector",
    "other": "another text's state",
    "mean": "mean state",
}


def set_style(params: Figures) -> None:
    sns.set_theme(context="notebook", style="whitegrid", palette=params.palette)
    plt.rcParams.update(
        {"savefig.dpi": params.dots_per_inch, "figure.constrained_layout.use": True}
    )


def save_figure(path: Path, figure: Figure) -> None:
    """Write a PNG without the date or the library's version, which would change its bytes."""
    with whole(path) as draft:
        figure.savefig(draft, format="png", metadata={"Software": None})
    plt.close(figure)


def concept_map(
    representations: Mapping[str, Representations], reading: Reading, num_texts: int
) -> Figure:
    """Held-out texts of each variant on the two main axes of its own training texts (PCA)."""
    figure, axes = plt.subplots(
        1, len(representations), figsize=(5.2 * len(representations), 4.8), squeeze=False
    )
    for axis, (name, stored) in zip(axes[0], representations.items(), strict=True):
        train, _ = stored.at(reading.layer, reading.position, "train")
        plane = main_axes(train)
        parts = []
        for split in stored.held_out():
            vectors, concepts = stored.at(reading.layer, reading.position, split)
            shown = slice(None, None, -(-len(vectors) // num_texts))
            spots = (vectors[shown] - train.mean(0)) @ plane
            labels = [spoken(str(concept)) for concept in concepts[shown]]
            parts.append(
                pd.DataFrame(
                    {"x": spots[:, 0], "y": spots[:, 1], "concept": labels, "texts": split}
                )
            )
        texts = pd.concat(parts).sort_values("concept", kind="stable")
        sns.scatterplot(
            texts, x="x", y="y", hue="concept", style="texts", s=32, alpha=0.8, ax=axis,
            legend="auto" if axis is axes[0][-1] else False,
        )  # fmt: skip
        axis.set(title=name, xlabel="first component", ylabel="second component")
    sns.move_legend(axes[0][-1], "center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.suptitle(f"Hidden states at layer {reading.layer}, {reading.position}")
    return figure


def main_axes(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The two main axes of vectors [N, D], as columns [D, 2], each with its largest entry positive.

    Scikit-learn's PCA to the letter, but for the second that importing it takes.
    """
    _, _, rows = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    largest = np.abs(rows[:2]).argmax(1)
    axes: NDArray[np.float64] = rows[:2] * np.sign(rows[[0, 1], largest])[:, None]
    return axes.T


def separation_bars(
    separation: Mapping[str, Metrics], text_only: Metrics, reading: Reading
) -> Figure:
    """Accuracy of every variant on held-out texts, with 95 % intervals, beside what a classifier
    of the words alone gets from the same tokens."""
    place = {
        name: tree[f"layer_{reading.layer}"][reading.position] for name, tree in separation.items()
    }
    splits = [split for split in SPLITS if split in next(iter(place.values()))]
    words = text_only["prompt" if reading.position == "prompt_end" else "whole"]
    figure, axes = plt.subplots(
        1, len(splits), figsize=(6.2 * len(splits), 4.2), sharey=True, squeeze=False
    )
    for axis, split in zip(axes[0], splits, strict=True):
        rows = [
            (name, label, tree[split][accuracy])
            for name, tree in place.items()
            for accuracy, label in ACCURACIES.items()
        ]
        _bars(axis, rows)
        axis.axhline(words[split]["value"], color="black", linestyle="--", linewidth=1.2,
                     label="TF-IDF + logistic regression")  # fmt: skip
        axis.set(title=SPLITS[split], ylabel="accuracy", ylim=(0, 1.02))
    return _with_legend(figure, axes[0])


def layer_curves(
    separation: Mapping[str, Metrics], compared: Sequence[str], reading: Reading
) -> Figure:
    """k-NN accuracy of compared variants over layers, one panel per position, with intervals."""
    trees = {name: separation[name] for name in compared}
    layers = sorted(next(iter(trees.values())), key=_depth)
    positions = list(next(iter(trees.values()))[layers[0]])
    figure, axes = plt.subplots(
        1, len(positions), figsize=(4.2 * len(positions), 3.8), sharey=True, squeeze=False
    )
    depths = [_depth(layer) for layer in layers]
    for axis, position in zip(axes[0], positions, strict=True):
        for name, tree in trees.items():
            marks = [tree[layer][position]["test"]["knn_accuracy"] for layer in layers]
            (line,) = axis.plot(depths, [mark["value"] for mark in marks], marker="o", label=name)
            axis.fill_between(
                depths, [mark["low"] for mark in marks], [mark["high"] for mark in marks],
                alpha=0.2, color=line.get_color(),
            )  # fmt: skip
        axis.axvline(reading.layer, color="grey", linewidth=0.8, linestyle=":")
        axis.set(title=position, xlabel="layer", ylim=(0, 1.02), xticks=depths)
    axes[0][0].set(ylabel="k-NN accuracy, test texts")
    return _with_legend(figure, axes[0])


def interpretation_bars(selfie: Mapping[str, Metrics], asking: Asking) -> Figure:
    """How often an interpretation names its state's concept, beside every control."""
    place = {name: tree[f"layer_{asking.layer}"] for name, tree in selfie.items()}
    splits = [split for split in SPLITS if split in next(iter(place.values()))]
    figure, axes = plt.subplots(
        1, len(splits), figsize=(6.2 * len(splits), 4.2), sharey=True, squeeze=False
    )
    for axis, split in zip(axes[0], splits, strict=True):
        rows = [
            (name, label, tree[split][asking.positions[0]][control])
            for name, tree in place.items()
            for control, label in INJECTED.items()
        ]
        _bars(axis, rows)
        axis.set(title=SPLITS[split], ylabel="names the concept", ylim=(0, 1.02))
    return _with_legend(figure, axes[0])


def behaviour_bars(safety: Mapping[str, Metrics]) -> Figure:
    """Both ways of going wrong, per variant; of safe and of harmful requests each."""
    figure, axis = plt.subplots(figsize=(7.5, 4.2))
    rows = [
        (name, label, tree[rate])
        for name, tree in safety.items()
        for rate, label in RATES.items()
        if rate in tree
    ]
    _bars(axis, rows)
    axis.set(ylabel="share of answers", ylim=(0, 1.02))
    return _with_legend(figure, [axis])


def _bars(axis: Axes, rows: Sequence[tuple[str, str, Metrics]]) -> None:
    """Grouped bars with 95 % intervals: (group, colour, estimate)."""
    groups = list(dict.fromkeys(row[0] for row in rows))
    colours = list(dict.fromkeys(row[1] for row in rows))
    width = 0.8 / len(colours)
    for number, colour in enumerate(colours):
        chosen = [(row[0], row[2]) for row in rows if row[1] == colour]
        places = [groups.index(group) + (number + 0.5) * width - 0.4 for group, _ in chosen]
        values = [estimate["value"] for _, estimate in chosen]
        spread = [
            [max(0.0, estimate["value"] - estimate["low"]) for _, estimate in chosen],
            [max(0.0, estimate["high"] - estimate["value"]) for _, estimate in chosen],
        ]
        axis.bar(places, values, width, yerr=spread, label=colour,
                 error_kw={"elinewidth": 1, "ecolor": "0.25"})  # fmt: skip
    axis.set_xticks(range(len(groups)), groups, rotation=30, ha="right")
    axis.grid(axis="x", visible=False)


def _with_legend(figure: Figure, axes: Sequence[Axes]) -> Figure:
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(labels), 5), frameon=False
    )
    return figure


def _depth(layer: str) -> int:
    return int(layer.removeprefix("layer_"))
