"""Sweeps of several mask sizes or pictures that have been run, as a notebook looks at them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import NoReturn

import pandas as pd

from bnbench.interactive.naming import Names
from bnbench.interactive.result import SweepResult
from bnbench.sweep.request import EndedSweep


class SizesResult(SweepResult):
    """What the folders of several mask sizes hold of the grid that was asked for of each.

    Attributes:
        sizes: the result of each size that was begun, by its name such as ``30x20``.
        folder: the folder above theirs, absolute; :meth:`bnbench.SweepResult.report` writes one report of all sizes.
        grid: which fits were asked for, of each size.

    Each size has a protocol of its own, ``result.sizes["30x20"].protocol``; there is none of them all.
    """

    _column, _parts, _of_several = "mask_size", "sizes", "several mask sizes"

    def __init__(self, folder: Path, swept: Mapping[str, EndedSweep], names: Names) -> None:
        self.folder = folder.absolute()
        self.grid = next(iter(swept.values())).plan.grid  # one request: it is that of every size
        self.sizes = {name: SweepResult(one, names) for name, one in swept.items()}
        self.broken = [message for one in self.sizes.values() for message in one.broken]

    def __getattr__(self, name: str) -> NoReturn:
        sizes = list(self.__dict__.get("sizes", ()))
        way = f"; take that of one, result.{self._parts}[{sizes[0]!r}].protocol" if name == "protocol" and sizes else ""
        raise AttributeError(f"the result of {self._of_several} has no {name}{way}.")

    @property
    def fits(self) -> pd.DataFrame:
        """Return a row per finished fit of every size, with ``mask_size`` before the columns of a single sweep."""
        return self._joined({name: one.fits for name, one in self.sizes.items()})

    @property
    def failed(self) -> pd.DataFrame:
        """Return the fits that failed, of every size, with columns ``mask_size, arm, p, seed, message``."""
        return self._joined({name: one.failed for name, one in self.sizes.items()})

    def _joined(self, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
        parts = []
        for name, table in tables.items():
            table.insert(0, self._column, name)
            parts.append(table)
        return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(f'{name}: {one!r}' for name, one in self.sizes.items())}>"

    def _repr_html_(self) -> str:
        return "".join(f"<h4>{escape(name)}</h4>{one._repr_html_()}" for name, one in self.sizes.items())


class PicturesResult(SizesResult):
    """What the folders of several pictures hold of the grid that was asked for of each.

    The tables of fits and failures begin with a column ``picture`` in place of ``mask_size``.

    Attributes:
        pictures: the result of each picture that was begun, by its name.
        folder: the folder above theirs, absolute; :meth:`bnbench.SweepResult.report` writes one report of all pictures.
    """

    _column, _parts, _of_several = "picture", "pictures", "several pictures"

    @property
    def pictures(self) -> dict[str, SweepResult]:
        """Return the result of each picture that was begun, by its name."""
        return self.sizes


RESULTS_OF_SEVERAL = {"mask size": SizesResult, "picture": PicturesResult}
