"""Pictures of curves: over layers, over steps, over a monitor's thresholds and confidence."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.reporting.style import LIGHT, Look, legend_below
from pipeline.reporting.svg import Picture

NUM_BINS = 10  # of confidence


def layer_curves(curves: pd.DataFrame, styles: Mapping[str, Look], read_layer: int) -> Picture:
    """A row a metric, a column a position, a line a variant, with bands of 95 %.

    curves: metric, position, variant, layer, value, low, high. The dotted line marks the layer
    that headline numbers are read at.
    """
    metrics, positions = curves["metric"].unique(), curves["position"].unique()
    figure, panels = _panels(len(metrics), len(positions), sharey="row")
    for row, metric in zip(panels, metrics, strict=True):
        for axis, position in zip(row, positions, strict=True):
            axis.axvline(read_layer, color=LIGHT.quiet, linewidth=0.8, linestyle=":")
            some = curves[(curves["metric"] == metric) & (curves["position"] == position)]
            for variant, line in some.groupby("variant", sort=False):
                _banded(axis, line, "layer", styles[str(variant)], str(variant))
            axis.set(title=position, xticks=sorted(some["layer"].unique()))
        row[0].set_ylabel(metric)
    for axis in panels[-1]:
        axis.set_xlabel("layer")
    legend_below(figure, panels)
    described = [
        f"{metric} at layer {read_layer}, {position}: "
        + ", ".join(f"{r.variant} {r.value:.2f}" for r in some.itertuples())
        for (metric, position), some in curves[curves["layer"] == read_layer].groupby(
            ["metric", "position"], sort=False
        )
    ]
    layers = f"{curves['layer'].min()} to {curves['layer'].max()}"
    return Picture(figure, f"Curves over layers {layers}. {'; '.join(described)}.")


def moved_curves(points: pd.DataFrame, styles: Mapping[str, Look]) -> Picture:
    """A panel a direction, a line a variant, with bands of 95 %: how often a state that was moved
    is read as the concept that it was moved to.

    points: direction, variant, per cent (of the way to that concept), value, low, high.
    """
    directions = points["direction"].unique()
    figure, panels = _panels(1, len(directions), width=3.4, height=2.8, sharey="row")
    for axis, direction in zip(panels[0], directions, strict=True):
        some = points[points["direction"] == direction]
        for variant, line in some.groupby("variant", sort=False):
            _banded(axis, line, "per cent", styles[str(variant)], str(variant))
        axis.set(title=direction, xlabel="per cent of the way", ylim=(-0.02, 1.02))
    panels[0][0].set_ylabel("read as the other concept")
    legend_below(figure, panels)
    described = [
        f"{direction}, {variant}: "
        + ", ".join(f"{p} per cent {v:.2f}" for p, v in zip(line["per cent"], line["value"],
                                                            strict=True))
        for (direction, variant), line in points.groupby(["direction", "variant"], sort=False)
    ]  # fmt: skip
    return Picture(
        figure, f"Shares read as the concept that states were moved to. {'; '.join(described)}."
    )


def cascade_curves(points: pd.DataFrame, styles: Mapping[str, Look]) -> Picture:
    """What a judge buys: a row a measure, a column a group of texts, a line a variant, with bands
    of 95 %, over the share of texts that the judge is sent.

    points: measure, group, variant, sent, value, low, high.
    """
    figure = _grid(points, "measure", "group", "sent", styles, "share sent to the judge",
                   xlim=(-0.02, 1.02))  # fmt: skip
    described = [
        f"{measure}, {group}, {variant}: "
        + ", ".join(f"{v:.2f} at {s:.2f}" for s, v in zip(line["sent"], line["value"], strict=True))
        for (measure, group, variant), line in points.groupby(
            ["measure", "group", "variant"], sort=False
        )
    ]
    return Picture(figure, f"Curves over the share sent to a judge. {'; '.join(described)}.")


def searches(points: pd.DataFrame, styles: Mapping[str, Look]) -> Picture:
    """How far attacks come: a row a monitor, a column an attack, a line a variant, with bands of
    95 %, over the forward passes that an attack on one prompt has taken.

    points: monitor, attack, variant, passes, value (the mean logit of harm), low, high.
    """
    figure = _grid(points, "monitor", "attack", "passes", styles, "forward passes")
    described = [
        f"{monitor}, {attack}, {variant}: from {line['value'].iloc[0]:.2f} to "
        f"{line['value'].iloc[-1]:.2f} after {line['passes'].iloc[-1]} passes"
        for (monitor, attack, variant), line in points.groupby(
            ["monitor", "attack", "variant"], sort=False
        )
    ]
    return Picture(figure, f"The mean logit of harm of attacked prompts. {'; '.join(described)}.")


def training_curves(curves: pd.DataFrame, styles: Mapping[str, Look]) -> Picture:
    """A panel a term of the finetune, a line a variant that it moves.

    curves: variant, step, term, value.
    """
    terms = curves["term"].unique()
    columns = min(4, len(terms))
    figure, grid = _panels(-(-len(terms) // columns), columns, width=2.1, height=2.0)
    panels = grid.ravel()
    for axis, term in zip(panels, terms, strict=False):
        for variant, line in curves[curves["term"] == term].groupby("variant", sort=False):
            if line["value"].any():
                _line(axis, line["step"], line["value"], styles[str(variant)], str(variant))
        axis.set(title=str(term).replace("_", " "), xlabel="step")
    for axis in panels[len(terms) :]:
        axis.set_axis_off()
    legend_below(figure, grid)
    last = curves[curves["step"] == curves.groupby("variant")["step"].transform("max")]
    described = [
        f"{term}: " + ", ".join(f"{r.variant} {r.value:.3g}" for r in some.itertuples())
        for term, some in last[last["value"] != 0].groupby("term", sort=False)
    ]
    return Picture(
        figure, f"Curves of the finetune's terms over steps. At the end {'; '.join(described)}."
    )


def roc_curves(scores: pd.DataFrame, styles: Mapping[str, Look]) -> Picture:
    """How a monitor trades found harm for false alarms, a line a variant; the diagonal is chance.

    scores: variant, truth (bool), score. A variant whose texts are all of one kind has no curve.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    figure, panels = _panels(1, 1, width=4.4, height=4.2)
    axis, described = panels[0][0], []
    axis.plot([0, 1], [0, 1], color=LIGHT.quiet, linewidth=0.8, linestyle=":")
    for variant, some in scores.groupby("variant", sort=False):
        if some["truth"].nunique() < 2:
            continue
        false, true, _ = roc_curve(some["truth"], some["score"])
        area = roc_auc_score(some["truth"], some["score"])
        described.append(f"{variant} {area:.3f}")
        _line(axis, false, true, styles[str(variant)], f"{variant}: {area:.3f}", every=0.12)
    axis.set(xlabel="false alarms among safe texts", ylabel="found among harmful texts",
             xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")  # fmt: skip
    legend_below(figure, panels)
    return Picture(
        figure, f"ROC curves of a monitor. Area under each: {', '.join(described) or 'undefined'}."
    )


def reliability_curves(
    answers: pd.DataFrame, styles: Mapping[str, Look], probability: str, share: str
) -> Picture:
    """How often what a monitor finds so probable is so, in tenths of probability; on the diagonal
    it knows how sure to be.

    answers: variant, probability in [0, 1], so (bool). A bin's point is sized by its texts.
    probability, share: what of, in words.
    """
    figure, panels = _panels(1, 1, width=4.4, height=4.2)
    axis, described = panels[0][0], []
    axis.plot([0, 1], [0, 1], color=LIGHT.quiet, linewidth=0.8, linestyle=":")
    for variant, some in answers.groupby("variant", sort=False):
        bins = np.minimum((some["probability"] * NUM_BINS).astype(int), NUM_BINS - 1)
        found = some.groupby(bins).agg(
            probability=("probability", "mean"), share=("so", "mean"), texts=("so", "size")
        )
        gap = (found["probability"] - found["share"]).abs()
        described.append(f"{variant} {(gap * found['texts']).sum() / len(some):.3f}")
        look = styles[str(variant)]
        _line(axis, found["probability"], found["share"], look, str(variant))
        axis.scatter(found["probability"], found["share"], color=look.colour, marker=look.marker,
                     s=120 * found["texts"] / len(some))  # fmt: skip
    axis.set(xlabel=probability, ylabel=share, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02),
             aspect="equal")  # fmt: skip
    legend_below(figure, panels)
    return Picture(
        figure,
        f"Reliability curves of a monitor: {share} by {probability}. Mean distance from the "
        f"diagonal, weighed by texts: {', '.join(described)}.",
    )


def _panels(
    rows: int, columns: int, width: float = 2.6, height: float = 2.2, sharey: Any = False
) -> tuple[Figure, Any]:
    """A figure of panels [rows, columns], with room for a legend below."""
    size = max(4.4, width * columns), height * rows + 0.6
    figure = Figure(size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, sharey=sharey)


def _grid(
    points: pd.DataFrame, row: str, column: str, x: str, styles: Mapping[str, Look], label: str,
    **limits: Any,
) -> Figure:  # fmt: skip
    """A row of panels for each value of one column of the points, a column for each of another; in
    each a line a variant over x, with its band."""
    rows, columns = points[row].unique(), points[column].unique()
    figure, panels = _panels(len(rows), len(columns), width=3.0, sharey="row")
    for axes, name in zip(panels, rows, strict=True):
        for axis, title in zip(axes, columns, strict=True):
            some = points[(points[row] == name) & (points[column] == title)]
            for variant, line in some.groupby("variant", sort=False):
                _banded(axis, line, x, styles[str(variant)], str(variant))
            axis.set(title=title, **limits)
        axes[0].set_ylabel(name)
    for axis in panels[-1]:
        axis.set_xlabel(label)
    legend_below(figure, panels)
    return figure


def _banded(axis: Any, line: pd.DataFrame, x: str, look: Look, name: str) -> None:
    """A line of values over a column, and the band from `low` to `high` around it."""
    _line(axis, line[x], line["value"], look, name)
    axis.fill_between(
        line[x], line["low"], line["high"], color=look.colour, alpha=0.18, linewidth=0
    )


def _line(axis: Any, x: Any, y: Any, look: Look, label: str, every: float | None = None) -> None:
    """A line with a colour, marker and dash of its own; markers `every` share of the picture, or at
    every point."""
    axis.plot(
        x, y, color=look.colour, marker=look.marker, linestyle=look.dash, label=label,
        markevery=every,
    )  # fmt: skip
