"""Heat maps of many concepts: rows get thin, and memory stays small."""

import itertools

import pandas as pd

from pipeline.reporting.heat_maps import cosine_tables


def table(concepts: int) -> pd.DataFrame:
    names = [f"concept {n}" for n in range(concepts)]
    rows = [("base", a, b, 0.5) for a, b in itertools.product(names, names)]
    return pd.DataFrame(rows, columns=["variant", "first", "second", "cosine"])


def test_many_concepts_share_one_renderer_and_no_picture_grows_with_them_all() -> None:
    few, many = (cosine_tables(table(count)).figure for count in (12, 30))
    assert tuple(few.get_size_inches()) == (0.45 * 12 + 1.4, (0.45 * 12 + 1.4) * 0.92)
    assert many.get_size_inches()[0] < 0.45 * 30
    labels = many.axes[0].get_xticklabels()
    assert len({id(label.get_figure().canvas.get_renderer()) for label in labels}) == 1
