"""Scikit-learn's digits, which come with the package and need no download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnbench.inputs.image_files import Arrays

_TRAINED = 1_297


def read_digits() -> tuple[Arrays, Arrays]:
    """Read scikit-learn's 8×8 digits; the last 500 come from other writers and are the test set."""
    table = read_table()
    pixels = np.round(table[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    labels = table[:, -1].astype(np.int64)
    return (pixels[:_TRAINED], labels[:_TRAINED]), (pixels[_TRAINED:], labels[_TRAINED:])


def read_table() -> NDArray[np.float64]:
    """Read scikit-learn's digits, an image and its label in each row: shape (1797, 65).

    Its file is read as it lies. To import scikit-learn takes more than a second, in every process of a sweep; that is
    the way out, should the file move.
    """
    package = find_spec("sklearn")
    for folder in package.submodule_search_locations or () if package else ():
        if (path := Path(folder, "datasets", "data", "digits.csv.gz")).exists():
            return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return np.column_stack([pixels, labels])
