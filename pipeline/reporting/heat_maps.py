"""Heat maps: concepts by concepts, monitors by sets of texts, tokens by layers."""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipeline.reporting.style import drawn_names
from pipeline.reporting.svg import Picture

MOST_ANNOTATED = 12  # concepts; the numbers of a larger table cannot be read
LONGEST = 11  # characters of a label that a cell has room for


def cosine_tables(cosines: pd.DataFrame) -> Picture:
    """Concept by concept, one table a variant on one scale, with the numbers written in."""
    variants = cosines["variant"].unique()
    names = drawn_names(sorted({*cosines["first"], *cosines["second"]}))
    count = cosines["first"].nunique()
    size = max(3.6, min(0.45 * count + 1.4, 0.17 * count + 4.8))  # inches; many have thin rows
    figure = Figure((size * len(variants), size * 0.92), layout="constrained")
    if count > MOST_ANNOTATED:  # one renderer for all labels: else each keeps one of its own
        FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(variants), squeeze=False)[0]
    low, high = cosines["cosine"].min(), cosines["cosine"].max()
    described = []
    for axis, variant in zip(panels, variants, strict=True):
        some = cosines[cosines["variant"] == variant]
        table = some.pivot(index="first", columns="second", values="cosine")
        table = table.rename(index=names, columns=names)
        numbers = table.map("{:.2f}".format) if len(table) <= MOST_ANNOTATED else None
        _heat(axis, table, (low, high), numbers, bar=axis is panels[-1])
        axis.set_aspect("equal")
        same = some["first"] == some["second"]
        within, between = some[same]["cosine"].mean(), some[~same]["cosine"].mean()
        described.append(f"{variant} {within:.2f} within a concept and {between:.2f} between two")
        axis.set_title(variant)
    return Picture(
        figure,
        "Heat maps of the mean cosine between test texts, concept by concept. On average "
        f"{'; '.join(described)}.".replace("nan", "undefined"),
    )


def score_tables(scores: pd.DataFrame, measure: str) -> Picture:
    """Monitor by set of texts, one table above the other for each variant, on one scale.

    scores: variant, monitor, scored (the set, and where it is read), value in [0, 1]; monitors and
    sets in the order in which they come first. A set that a monitor was not asked of is empty.
    """
    variants, sets = scores["variant"].unique(), scores["scored"].unique().tolist()
    monitors = scores["monitor"].unique().tolist()
    names = drawn_names(sets)
    size = 0.62 * len(sets) + 2.4, (0.3 * len(monitors) + 0.45) * len(variants) + 1.9
    figure = Figure(size, layout="constrained")
    panels = figure.subplots(len(variants), 1, squeeze=False, sharex=True)[:, 0]
    low, described = min(0.5, scores["value"].min()), []
    for axis, (variant, some) in zip(panels, scores.groupby("variant", sort=False), strict=True):
        table = some.pivot(index="monitor", columns="scored", values="value")
        table = table.reindex(index=monitors, columns=sets).rename(columns=names)
        _heat(axis, table, (low, 1.0), table.map("{:.2f}".format).replace("nan", ""), bar=False)
        axis.set_title(variant)
        described.append(
            f"{variant}: "
            + "; ".join(
                f"{scored} {own['value'].max():.2f} by {own['monitor'].iloc[own['value'].argmax()]}"
                for scored, own in some.groupby("scored", sort=False)
            )
        )
    panels[-1].set_xticks([n + 0.5 for n in range(len(sets))], [names[s] for s in sets])
    panels[-1].tick_params(axis="x", rotation=40)
    for label in panels[-1].get_xticklabels():
        label.set_horizontalalignment("right")
    return Picture(
        figure,
        f"Heat maps of {measure}, monitor by set of texts. The best monitor of each set. "
        f"{'. '.join(described)}.",
    )


def token_table(tokens: pd.DataFrame, note: str = "") -> Picture:
    """What each token's hidden state is read as, layer by layer, for one text, which runs from top
    to bottom; a table a variant, on one scale.

    tokens: variant, layer, index, token, named (the concept that the interpretation names, or ""),
    relevancy (of the words that name it, in [-1, 1]), which the lightness shows. note: what else is
    to be said of the text.
    """
    variants = tokens["variant"].unique()
    words = tokens.drop_duplicates("index").sort_values("index")["token"]
    layers = tokens["layer"].nunique()
    size = (0.72 * layers + 0.4) * len(variants) + 1.8, 0.2 * len(words) + 1.1
    figure = Figure(size, layout="constrained")
    panels = figure.subplots(1, len(variants), squeeze=False, sharey=True)[0]
    low, high = tokens["relevancy"].min(), tokens["relevancy"].max()
    described = []
    for axis, (variant, some) in zip(panels, tokens.groupby("variant", sort=False), strict=True):
        by = {"index": "index", "columns": "layer"}
        named = some.pivot(values="named", **by).map(_short)
        table = some.pivot(values="relevancy", **by)
        _heat(axis, table, (min(0.0, low), high), named, bar=axis is panels[-1])
        axis.set(title=variant, xlabel="layer")
        best = some.to_dict("records")[int(some["relevancy"].to_numpy().argmax())]
        described.append(
            f"{variant}: {(some['named'] != '').mean():.2f} of the states name a concept; the most "
            f"relevant, {best['relevancy']:.2f}, names {best['named'] or 'none'} at layer "
            f"{best['layer']}, token {_short(best['token'])}"
        )
    panels[0].set_yticks(
        [row + 0.5 for row in range(len(words))], words.map(_short).tolist(), rotation=0
    )
    if note:
        figure.suptitle(note)
    return Picture(
        figure,
        f"{note} Heat maps of {len(words)} tokens by {layers} layers: the concept that the model "
        "names when it reads each hidden state, and how relevant the state was to its words. "
        f"{'. '.join(described)}.".strip(),
    )


def _heat(
    axis: Axes,
    table: pd.DataFrame,
    span: tuple[float, float],
    words: pd.DataFrame | None,
    bar: bool = True,
) -> None:
    """Cells whose lightness alone carries the number (cividis), for any eye and in print."""
    sns.heatmap(
        table, ax=axis, vmin=span[0], vmax=span[1], cmap="cividis", cbar=bar, fmt="",
        annot=None if words is None else words.to_numpy(), annot_kws={"size": 7.5},
        linewidths=0.5, linecolor="none",
    )  # fmt: skip
    axis.set(xlabel="", ylabel="")
    axis.tick_params(length=0)


def _short(text: str) -> str:
    """A token or a phrase as a label: one short line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST else f"{flat[: LONGEST - 1]}…"
