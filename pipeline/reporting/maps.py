"""Pictures of where texts lie: planes of representations."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.core.concepts import spoken
from pipeline.core.representations import Representations, Vectors
from pipeline.reporting.fitting import fitting_legend
from pipeline.reporting.style import LIGHT, drawn_names, looks
from pipeline.reporting.svg import Picture

NUM_STEPS = 500  # of t-SNE; twice as many move a map of some hundred texts no further


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
