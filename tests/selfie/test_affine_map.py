"""Affine maps: fitted by least squares, and kept in safetensors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LinearRegression

from pipeline.selfie.affine_map import AffineMap, fit_affine, load_affine, save_affine


def states(count: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def test_fitting_recovers_the_map_that_made_the_pairs() -> None:
    true = AffineMap(states(5, 8, 1), states(1, 5, 2)[0])
    found = fit_affine(states(40, 8), true(states(40, 8)))
    torch.testing.assert_close(found.weight, true.weight, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.bias, true.bias, atol=1e-5, rtol=0)


def test_noisy_pairs_give_scikit_learns_least_squares() -> None:
    given, wanted = states(50, 6), states(50, 4, 1)
    found = fit_affine(given, wanted)
    oracle = LinearRegression().fit(given.numpy().astype(float), wanted.numpy().astype(float))
    np.testing.assert_allclose(found.weight.numpy(), oracle.coef_, atol=1e-6)
    np.testing.assert_allclose(found.bias.numpy(), oracle.intercept_, atol=1e-6)


def test_fewer_pairs_than_dimensions_are_met_exactly() -> None:
    given, wanted = states(5, 30), states(5, 3, 1)
    torch.testing.assert_close(fit_affine(given, wanted)(given), wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("weight", [states(3, 3), states(1, 3)[0], torch.tensor(2.5)])
def test_a_saved_map_loads_and_maps_alike(tmp_path: Path, weight: torch.Tensor) -> None:
    affine = AffineMap(weight, states(1, 3, 4)[0])
    save_affine(tmp_path / "a.safetensors", affine)
    found = load_affine(tmp_path / "a.safetensors")
    assert torch.equal(found(states(7, 3)), affine(states(7, 3)))
    dense = weight if weight.ndim == 2 else torch.diag(weight.expand(3))
    torch.testing.assert_close(affine(states(7, 3)), states(7, 3) @ dense.T + affine.bias)


def test_maps_and_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"weight \[3, 2\] and bias \[2\]"):
        AffineMap(states(3, 2), torch.zeros(2))
    with pytest.raises(ValueError, match="vectors of width 4 for an affine map of width 2"):
        AffineMap(states(3, 2), torch.zeros(3))(states(1, 4))
    with pytest.raises(ValueError, match="vectors of width 4 for an affine map of width 3"):
        AffineMap(torch.tensor(2.0), torch.zeros(3))(states(1, 4))
    with pytest.raises(ValueError, match=r"it takes \[E, D\], \[D\] or \[\], and \[E\]"):
        AffineMap(torch.tensor(2.0), torch.tensor(0.0))
    with pytest.raises(ValueError, match="not two or more pairs"):
        fit_affine(states(3, 2), states(4, 2))
    with pytest.raises(ValueError, match="not finite"):
        fit_affine(states(3, 2) / 0, states(3, 2))
    with pytest.raises(ValueError, match="is missing"):
        load_affine(tmp_path / "none")
    (tmp_path / "text").write_text("no tensors", encoding="utf-8")
    with pytest.raises(ValueError, match="is no safetensors file"):
        load_affine(tmp_path / "text")
    save_file({"scale": torch.ones(1)}, tmp_path / "other")
    with pytest.raises(ValueError, match="an affine map is `weight` and `bias`"):
        load_affine(tmp_path / "other")
