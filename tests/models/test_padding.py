"""Padding fills up one side, and the mask tells it from a real token of the same id."""

import pytest

from pipeline.models.padding import Side, padded, position_ids

ROWS = [(5, 0, 7), (0,), (8, 9)]  # 0 is the padding, and a token of texts too


@pytest.mark.parametrize(
    ("side", "ids", "mask", "positions"),
    [
        (
            "left",
            [[5, 0, 7], [0, 0, 0], [0, 8, 9]],
            [[1, 1, 1], [0, 0, 1], [0, 1, 1]],
            [[0, 1, 2], [0, 0, 0], [0, 0, 1]],
        ),
        (
            "right",
            [[5, 0, 7], [0, 0, 0], [8, 9, 0]],
            [[1, 1, 1], [1, 0, 0], [1, 1, 0]],
            [[0, 1, 2], [0, 0, 0], [0, 1, 1]],
        ),
    ],
)
def test_rows_are_filled_up_on_one_side(
    side: Side, ids: list[list[int]], mask: list[list[int]], positions: list[list[int]]
) -> None:
    found, real = padded(ROWS, 0, side)
    assert found.tolist() == ids
    assert real.tolist() == mask
    assert position_ids(real).tolist() == positions
