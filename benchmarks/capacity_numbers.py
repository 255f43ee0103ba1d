"""How large a mask each arm bends to: what a kept report of mask sizes says, for the pages that show it."""

from __future__ import annotations

import json
import math
from functools import cached_property
from pathlib import Path

import pandas as pd
from readings import markdown

ROOT = Path(__file__).parents[1]


class CapacityNumbers:
    """Sentences and tables of one report's chapter.

    Args:
        folder: the report's, below ``reports/``.
    """

    def __init__(self, folder: str) -> None:
        self._report = ROOT / "reports" / folder

    @cached_property
    def sentences(self) -> str:
        """The chapter's sentences but for its introduction, a bullet each: its rules choose them."""
        across = json.loads((self._report / "report.json").read_text(encoding="utf-8"))["across"]
        (found,) = (chapter["sentences"] for chapter in across if chapter["name"] == "capacity")
        return "\n".join(f"- {sentence}" for sentence in found[1:])

    def side(self, arm: str) -> str:
        """The side of an arm's capacity."""
        return f"{self._table('capacity').set_index('arm')['side'][arm]:.1f}"

    def ahead(self, first: str, second: str, least: float, most: float = math.inf) -> str:
        """In how many pairs of masks of some sides one arm has more pixels right than another: ``14 of 15``."""
        right = self._table("capacity_fits").pivot(index=["side", "seed"], columns="arm", values="right").reset_index()
        there = right[right["side"].between(least, most)].dropna(subset=[first, second])
        return f"{(there[first] > there[second]).sum()} of {len(there)}"

    @property
    def sides(self) -> str:
        """Each arm's side with its interval, beside that of straight lines, and how far the means lie off the curve."""
        cells = [
            [
                row["arm"],
                f"{row['curve_side']:.1f}",
                f"{_end(row['low'])} to {_end(row['high'])}",
                f"{row['isotonic']:.1f}",
                f"{row['misfit']:.3f}",
            ]
            for row in self._table("capacity").to_dict("records")
        ]
        return markdown([["arm", "side", "95 % interval", "straight lines", "misfit"], *cells])

    @property
    def right(self) -> str:
        """Mean and deviation of right over so many seeds, a row for each mask size and a column for each arm."""
        table = self._table("capacity_sizes").set_index(["size", "arm"])
        sizes, arms = (list(dict.fromkeys(table.index.get_level_values(name))) for name in ("size", "arm"))
        cells = [
            [
                size.replace("x", "×"),
                f"{table['bits'][size, arms[0]]:,.0f}",
                " to ".join(f"{n}" for n in sorted({table["n"][size].min(), table["n"][size].max()})),
                *(
                    f"{table['mean'][size, arm]:.3f}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{table['sd'][size, arm]:.3f}"
                    for arm in arms
                ),
            ]
            for size in sizes
        ]
        return markdown([["mask", "bits", "seeds", *arms], *cells])

    def _table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self._report / "tables" / f"{name}.csv")


def _end(value: float) -> str:
    return f"{value:.1f}" if 0 < value < math.inf else "beyond the sizes"
