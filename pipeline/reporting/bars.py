"""Pictures of estimates with their intervals: bars, and one number against another."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from pipeline.reporting.style import LIGHT, Look, legend_below, looks
from pipeline.reporting.svg import Picture

WHISKERS = {"elinewidth": 1.0, "capsize": 2.0, "capthick": 1.0, "ecolor": LIGHT.ink}


def grouped_bars(
    estimates: pd.DataFrame, what: str, reference: tuple[str, Mapping[str, float]] | None = None
) -> Picture:
    """A row a panel, groups side by side within it, a hatched bar a series, 95 % whiskers.

    estimates: panel, group, series, value, low, high; `what` says of what. reference: a name, and
    the height of its dashed line by panel.
    """
    panels, groups = list(estimates["panel"].unique()), list(estimates["group"].unique())
    styles = looks(list(estimates["series"].unique()))
    figure = Figure((7.4, 2.7 * len(panels) + 0.7), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    width = 0.82 / len(styles)
    for axis, panel in zip(axes, panels, strict=True):
        for number, (series, look) in enumerate(styles.items()):
            some = estimates[(estimates["panel"] == panel) & (estimates["series"] == series)]
            middle = (number + 0.5) * width - 0.41
            axis.bar(
                [groups.index(group) + middle for group in some["group"]], some["value"],
                0.92 * width, label=series, color=look.colour, hatch=look.hatch, linewidth=0,
                edgecolor=LIGHT.paper, yerr=_reach(some), error_kw=WHISKERS,
            )  # fmt: skip
        if reference:
            axis.axhline(reference[1][panel], color=LIGHT.ink, linestyle=(0, (5, 2)),
                         linewidth=1.1, label=reference[0])  # fmt: skip
        axis.set(title=panel, ylim=(0, 1.04), xticks=range(len(groups)), xticklabels=groups)
        axis.grid(visible=False, axis="x")
    is_wide = len(groups) > 8 or len("".join(map(str, groups))) > 80
    axes[-1].tick_params(axis="x", rotation=40 if is_wide else 0)
    legend_below(figure, axes, 3)
    beside = [] if not reference else [f"{reference[0]}: " + _listed(reference[1])]
    described = [
        f"{panel}: "
        + "; ".join(
            f"{group} {_listed(dict(zip(some['series'], some['value'], strict=True)))}"
            for group, some in shown.groupby("group", sort=False)
        )
        for panel, shown in estimates.groupby("panel", sort=False)
    ]
    return Picture(figure, f"Bars of {what}. {'. '.join(described + beside)}.")


def tradeoff(
    points: pd.DataFrame,
    pairs: Sequence[tuple[str, str]],
    names: Mapping[str, str],
    styles: Mapping[str, Look],
) -> Picture:
    """One harm against another, a panel a pair (across, up), a point a variant: lower left is
    better, and the stepped line joins the variants that no other one beats (Pareto).

    points: variant, number, value, low, high. names: the numbers in words.
    """
    figure = Figure((3.7 * len(pairs), 3.9), layout="constrained")
    axes = figure.subplots(1, len(pairs), squeeze=False)[0]
    described = []
    for axis, (across, up) in zip(axes, pairs, strict=True):
        x, y = (points[points["number"] == name].set_index("variant") for name in (across, up))
        best = unbeaten(x["value"].to_numpy(), y["value"].loc[x.index].to_numpy())
        axis.step(x["value"].iloc[best], y["value"].loc[x.index[best]], where="post",
                  color=LIGHT.quiet, linestyle=":", linewidth=1.2)  # fmt: skip
        for variant in x.index:
            look, here, there = styles[variant], x.loc[[variant]], y.loc[[variant]]
            axis.errorbar(
                here["value"], there["value"], xerr=_reach(here), yerr=_reach(there),
                color=look.colour, marker=look.marker, markersize=7.5, linestyle="none",
                elinewidth=0.9, label=variant,
            )  # fmt: skip
        axis.set(xlabel=names[across], ylabel=names[up])
        described.append(
            f"{names[up]} against {names[across]}, unbeaten: {', '.join(x.index[best])}"
        )
    legend_below(figure, axes)
    for variant, some in points.groupby("variant", sort=False):
        spoken = [names[number] for number in some["number"]]
        described.append(f"{variant!s}: {_listed(dict(zip(spoken, some['value'], strict=True)))}")
    return Picture(figure, f"Scatter plots with 95 % intervals. {'. '.join(described)}.")


def unbeaten(x: Any, y: Any) -> list[int]:
    """The points [N] that no other is below in one and not above in the other, from the left."""
    best: list[int] = []
    for number in map(int, np.lexsort((y, x))):
        twin = best and (x[number], y[number]) == (x[best[-1]], y[best[-1]])
        if not best or y[number] < y[best[-1]] or twin:
            best.append(number)
    return best


def margin_scatter(
    transport: pd.DataFrame, across: str, up: str, styles: Mapping[str, Look]
) -> Picture:
    """What a bound promises against what is measured, a point a layer, numbered by it.

    transport: variant, layer, and the columns named by `across` and `up`.
    """
    figure = Figure((5.2, 4.0), layout="constrained")
    axis = figure.subplots()
    for variant, some in transport.groupby("variant", sort=False):
        look = styles[str(variant)]
        axis.scatter(some[across], some[up], color=look.colour, marker=look.marker, s=34,
                     label=variant)  # fmt: skip
        for row in some.to_dict("records"):
            axis.annotate(str(row["layer"]), (row[across], row[up]), (4, 3), fontsize=7,
                          textcoords="offset points", color=LIGHT.quiet)  # fmt: skip
    names = across.replace("_", " "), up.replace("_", " ")
    axis.set(xlabel=names[0], ylabel=names[1])
    legend_below(figure, [axis])
    varied = min(transport[across].nunique(), transport[up].nunique()) > 1
    described = f"{spearmanr(transport[across], transport[up])[0]:.2f}" if varied else "undefined"
    return Picture(
        figure,
        f"Scatter plot of {names[1]} against {names[0]}, {len(transport)} points, each a layer of "
        f"a variant. Rank correlation: {described}.",
    )


def _reach(estimates: pd.DataFrame) -> Any:
    """How far intervals reach below and above their values: [2, N], never negative."""
    value = estimates["value"]
    return np.maximum(0.0, np.stack([value - estimates["low"], estimates["high"] - value]))


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in values.items())
