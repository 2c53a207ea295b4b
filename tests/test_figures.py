"""Pictures: the plane of the concept map is scikit-learn's."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from pipeline.figures import main_axes


@pytest.mark.parametrize("shape", [(40, 6), (3, 8), (9, 2)])
def test_main_axes_are_those_of_pca(shape: tuple[int, int]) -> None:
    vectors = np.random.default_rng(0).normal(size=shape)
    flat = PCA(2, svd_solver="full").fit(vectors)
    np.testing.assert_allclose(
        np.abs(main_axes(vectors).T @ flat.components_.T), np.eye(2), atol=1e-9
    )
    np.testing.assert_allclose(main_axes(vectors), flat.components_.T, atol=1e-9)


def test_main_axes_of_one_point_are_finite() -> None:
    assert np.isfinite(main_axes(np.ones((5, 4)))).all()
