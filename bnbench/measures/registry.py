"""Every measure that there is: every file of this room but ``measure.py`` and this one defines a ``MEASURE``."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import bnbench.measures
from bnbench.measures.measure import Measure, Pixels

# The measures that every fit's summary has, in the order of its columns; later ones follow by name.
ALWAYS_STORED = ("black", "white", "difference", "black_loss", "white_loss")
# The two readings of a sweep: the accuracy contrast, and the objective by J and by right. Tables name them first.
READINGS = ("difference", "objective", "right")
READING_NAMES = {"difference": "accuracy contrast", "right": "right", "objective": "J"}  # in words, in this order
SHORT_NAMES = READING_NAMES | {"difference": "contrast"}  # where columns are narrow
_MACHINERY = ("measure", "registry")


def _discovered() -> tuple[Measure, ...]:
    names = [module.name for module in iter_modules(bnbench.measures.__path__) if module.name not in _MACHINERY]
    found: dict[str, Measure] = {}
    for name in names:
        measure = getattr(import_module(f"bnbench.measures.{name}"), "MEASURE", None)
        if not isinstance(measure, Measure):
            raise TypeError(f"bnbench/measures/{name}.py defines no MEASURE; every file of this room has to.")
        if measure.name in found:
            raise ValueError(f"two measures are called {measure.name}; give each a name of its own.")
        found[measure.name] = measure
    titles = [title for measure in found.values() for title in measure.columns.values()]
    if len(titles) != len({*titles}):  # tables name their rows by them
        raise ValueError(f"two measures have one title among {', '.join(titles)}; give each a title of its own.")
    later = sorted(found.keys() - set(ALWAYS_STORED))
    return tuple(found[name] for name in (*ALWAYS_STORED, *later))


REGISTERED = _discovered()


def pixel_values(pixels: Pixels) -> dict[str, float]:
    """Return every measure that follows from a landscape's pixels, by name."""
    return {measure.name: float(measure.of_pixels(pixels)) for measure in REGISTERED if measure.of_pixels}


def compared_columns() -> dict[str, str]:
    """Return the columns of the table of fits in which arms are compared, with their titles.

    The two readings come first, then what else is also compared over trained pixels alone.
    """
    ordered = sorted(REGISTERED, key=lambda measure: (measure.name not in READINGS, not measure.trained_title))
    return {column: title for measure in ordered for column, title in measure.columns.items()}
