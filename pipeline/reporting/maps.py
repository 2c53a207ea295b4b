"""Pictures of where texts lie: planes of representations, tables of cosines, tokens by layer."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.concepts import spoken
from pipeline.core.representations import Representations, Vectors
from pipeline.reporting.fitting import fitting_legend
from pipeline.reporting.style import LIGHT, drawn_names, looks
from pipeline.reporting.svg import Picture

NUM_STEPS = 500  # of t-SNE; twice as many move a map of some hundred texts no further
MOST_ANNOTATED = 12  # concepts; the numbers of a larger table cannot be read
LONGEST = 11  # characters of a label that a cell has room for


def spots_of(
    representations: Mapping[str, Representations],
    layer: int,
    position: str,
    num_texts: int,
    seed: int,
) -> pd.DataFrame:
    """Held-out texts of each variant on two planes: the main axes of its own training texts (PCA),
    and t-SNE. At most `num_texts` of a split, evenly taken.

    Rows: variant, method, x, y, concept, texts (their split).
    """
    tables = []
    for variant, stored in representations.items():
        train, _ = stored.at(layer, position, "train")
        shown = []
        for split in stored.held_out():
            vectors, concepts = stored.at(layer, position, split)
            step = slice(None, None, -(-len(vectors) // num_texts))
            shown += [(*row, split) for row in zip(vectors[step], concepts[step], strict=True)]
        vectors = np.stack([row[0] for row in shown]) - train.mean(0)
        flat = vectors @ main_axes(train)
        for method, plane in (("t-SNE", neighbour_plane(vectors, flat, seed)), ("PCA", flat)):
            tables.append(
                pd.DataFrame(
                    {
                        "variant": variant,
                        "method": method,
                        "x": plane[:, 0],
                        "y": plane[:, 1],
                        "concept": [spoken(str(row[1])) for row in shown],
                        "texts": [row[2] for row in shown],
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def main_axes(vectors: Vectors) -> Vectors:
    """The two main axes of vectors [N, D], as columns [D, 2], each with its largest entry positive:
    scikit-learn's PCA to the letter."""
    _, _, rows = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    largest = np.abs(rows[:2]).argmax(1)
    axes: Vectors = rows[:2] * np.sign(rows[range(len(largest)), largest])[:, None]
    return axes.T


def neighbour_plane(vectors: Vectors, start: Vectors, seed: int) -> Vectors:
    """t-SNE of vectors [N, D] by their angles, from a start [N, 2]: the same plane every time.

    On one thread, since sums over threads differ in their last bits, which t-SNE multiplies.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    spread = start[:, 0].std()
    if len(vectors) < 4 or not spread > 0:
        return start
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    tsne = TSNE(metric="cosine", init=1e-4 * start / spread, perplexity=perplexity,
                random_state=seed, max_iter=NUM_STEPS)  # fmt: skip
    with threadpool_limits(1):
        plane: Vectors = tsne.fit_transform(vectors)
    return plane


def agreement(spots: pd.DataFrame) -> float:
    """The share of texts on one plane whose nearest neighbour is of the same concept."""
    points, concepts = spots[["x", "y"]].to_numpy(), spots["concept"].to_numpy()
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    return float((concepts[apart.argmin(1)] == concepts).mean())


def concept_map(spots: pd.DataFrame) -> Picture:
    """A column a variant, a row a plane; a marker a concept, hollow for novel texts."""
    variants, methods = spots["variant"].unique(), spots["method"].unique()
    marks = looks(sorted(spots["concept"].unique()))
    names = drawn_names([*marks])
    size = max(5.6, 3.7 * len(variants)), 3.3 * len(methods) + 0.8
    figure = Figure(size, layout="constrained")
    panels = figure.subplots(len(methods), len(variants), squeeze=False)
    described = []
    for row, method in zip(panels, methods, strict=True):
        for axis, variant in zip(row, variants, strict=True):
            shown = spots[(spots["method"] == method) & (spots["variant"] == variant)]
            for (concept, texts), some in shown.groupby(["concept", "texts"], sort=True):
                look = marks[concept]
                axis.scatter(
                    some["x"], some["y"], s=20, marker=look.marker, linewidths=0.9,
                    facecolors="none" if texts == "novel" else look.colour, edgecolors=look.colour,
                )  # fmt: skip
            share = agreement(shown)
            described.append(f"{variant} by {method} {100 * share:.0f} %")
            axis.set_title(f"{variant}, {method}\n{100 * share:.0f} % beside their own concept")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set(visible=True, color=LIGHT.rule)
    handles = [
        axis.scatter([], [], s=24, marker=look.marker, color=look.colour, label=names[concept])
        for concept, look in marks.items()
    ]
    if "novel" in set(spots["texts"]):
        handles.append(
            axis.scatter([], [], s=24, marker="o", facecolors="none", edgecolors=LIGHT.ink,
                         label="hollow: novel texts")
        )  # fmt: skip
    fitting_legend(figure, handles, [str(handle.get_label()) for handle in handles], 4)
    count = len(spots) // (len(variants) * len(methods))
    return Picture(
        figure,
        f"Maps of {count} held-out texts, coloured and marked by concept "
        f"({', '.join(marks)}), one column for each of {', '.join(variants)}. Share of texts whose "
        f"nearest neighbour on the map is of the same concept: {'; '.join(described)}.",
    )


def cosine_tables(cosines: pd.DataFrame) -> Picture:
    """Concept by concept, one table a variant on one scale, with the numbers written in."""
    variants = cosines["variant"].unique()
    names = drawn_names(sorted({*cosines["first"], *cosines["second"]}))
    size = max(3.6, 0.45 * cosines["first"].nunique() + 1.4)
    figure = Figure((size * len(variants), size * 0.92), layout="constrained")
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


def token_table(tokens: pd.DataFrame) -> Picture:
    """What each token's hidden state is read as, layer by layer, for one text, which runs from top
    to bottom; a table a variant, on one scale.

    tokens: variant, layer, index, token, named (the concept that the interpretation names, or ""),
    relevancy (of the words that name it, in [-1, 1]), which the lightness shows.
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
    return Picture(
        figure,
        f"Heat maps of {len(words)} tokens by {layers} layers: the concept that the model names "
        "when it reads each hidden state, and how relevant the state was to its words. "
        f"{'. '.join(described)}.",
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
