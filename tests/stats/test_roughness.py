"""Roughness of landscapes, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from bnbench.stats.roughness import fine_share, relative_variation, roughness_of_fits, total_variation

ROWS, COLUMNS = np.indices((8, 6))


def slow_fine_share(values: NDArray[np.float64]) -> float:
    """The discrete Fourier transform as its sum."""
    rows, columns = values.shape
    centred, fine, total = values - values.mean(), 0.0, 0.0
    for i in range(rows):
        for j in range(columns):
            u, v = ((k / size + 0.5) % 1 - 0.5 for k, size in ((i, rows), (j, columns)))
            waves = np.exp(-2j * np.pi * (i * ROWS / rows + j * COLUMNS / columns))
            power = abs((centred * waves).sum()) ** 2
            total += power
            fine += power if math.hypot(u, v) > 0.25 else 0.0
    return fine / total


def test_the_spectrum_is_that_of_the_sum() -> None:
    values = np.random.default_rng(0).random((8, 6))
    assert fine_share(values) == pytest.approx(slow_fine_share(values), rel=1e-10)


def test_waves_are_coarse_or_fine() -> None:
    assert fine_share(np.sin(2 * np.pi * ROWS / 8)) == pytest.approx(0)
    assert fine_share(np.cos(np.pi * (ROWS + COLUMNS))) == pytest.approx(1)
    assert math.isnan(fine_share(np.ones((3, 3))))


def test_a_landscape_of_two_values_varies_as_its_mask() -> None:
    black = np.array([[True, False, False], [True, True, False]])
    assert total_variation(np.where(black, 0.0, 1.0)) == 1 + 1 + 1
    assert relative_variation(np.where(black, 0.5, 2.0), black, 2.5) == pytest.approx(1)
    assert relative_variation(np.where(black, 0.5, 9.0), black, 2.5) == pytest.approx(1)
    loss = np.array([[0.0, 2.0, 3.0], [1.0, 0.0, 2.0]])  # clipped at 2.5; contrast (2 + 2.5 + 2) / 3 − 1 / 3
    expected = ((2 + 0.5) + (1 + 2) + (1 + 2 + 0.5)) / (3 * (6.5 / 3 - 1 / 3))
    assert relative_variation(loss, black, 2.5) == pytest.approx(expected)


def test_what_has_no_contrast_has_no_variation_to_speak_of() -> None:
    black = np.array([[True, False], [True, False]])
    assert math.isnan(relative_variation(np.where(black, 2.0, 1.0), black, 2.5))
    assert math.isnan(relative_variation(np.ones((2, 2)), np.ones((2, 2), bool), 2.5))


def test_roughness_of_fits_is_that_of_each_grid_whatever_the_order_of_its_pixels() -> None:
    random = np.random.default_rng(1)
    black = random.random((4, 6)) < 0.5
    losses: NDArray[np.float64] = random.random((2, 4, 6)) + np.where(black, 0, 1.5)
    rows, columns = np.indices(black.shape)
    parts = [
        pd.DataFrame(
            {"row": rows.ravel(), "column": columns.ravel(), "black": black.ravel(), "test_loss": loss.ravel()}
        )
        for loss in losses
    ]
    table = pd.concat([part.assign(arm=arm, p=0.5, seed=1) for arm, part in zip("ab", parts, strict=True)])
    found = roughness_of_fits(table.sample(frac=1, random_state=0), 2.5).set_index("arm")
    for arm, loss in zip("ab", losses, strict=True):
        assert found["fine_share"][arm] == pytest.approx(fine_share(loss))
        assert found["fine_share_of_mask"][arm] == pytest.approx(fine_share(np.where(black, 0.0, 1.0)))
        assert found["relative_variation"][arm] == pytest.approx(relative_variation(loss, black, 2.5))
