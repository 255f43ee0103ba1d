"""How large a mask each arm bends to: what a kept report of mask sizes says, for the pages that show it."""

from __future__ import annotations

import json
import math
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from readings import markdown

from bnbench.stats.falling_curve import LEVEL, right_at
from bnbench.wording import interval_words, percent, plain_number

ROOT = Path(__file__).parents[1]


class CapacityNumbers:
    """Sentences and tables of one report's chapter.

    Args:
        folder: the report's, below ``reports/``.
    """

    def __init__(self, folder: str) -> None:
        self._report = ROOT / "reports" / folder

    @cached_property
    def _record(self) -> Any:
        return json.loads((self._report / "report.json").read_text(encoding="utf-8"))

    @property
    def sentences(self) -> str:
        """The chapter's sentences but for its introduction, a bullet each: its rules choose them."""
        (found,) = (chapter["sentences"] for chapter in self._record["across"] if chapter["name"] == "capacity")
        return "\n".join(f"- {sentence}" for sentence in found[1:])

    def side(self, arm: str) -> str:
        """The side of an arm's capacity."""
        return f"{self._table('capacity').set_index('arm')['side'][arm]:.1f}"

    def ahead_in_all(self, first: str, second: str, least: float) -> str:
        """In how many pairs an arm is ahead by right, J and contrast at once, of masks so large or larger."""
        ahead = []
        for protocol in self._record["protocols"]:
            if min(protocol["protocol"]["mask"]["mask_size"]) >= least:
                fits = pd.DataFrame(protocol["tables"]["fits"]["rows"]).pivot(index="seed", columns="arm")
                more = (fits[name][first] > fits[name][second] for name in ("right_trained", "difference_trained"))
                ahead += [
                    pd.concat([*more, fits["objective_trained"][first] < fits["objective_trained"][second]], axis=1)
                ]
        together = pd.concat(ahead).all(axis=1)
        return f"{together.sum()} of {len(together)}"

    def most(self, least: float) -> str:
        """The largest share of right pixels that a fit of so large a mask or a larger one has."""
        fits = self._table("capacity_fits")
        return percent(fits.loc[fits["side"] >= least, "right"].max())

    def straight(self, first: str, second: str) -> str:
        """By what factor one arm's side is that of another, at 90 %, by straight lines."""
        table = self._table("capacity_ratios").set_index(["level", "first", "second"])
        return f"{table['isotonic'][LEVEL, first, second]:.2f}"

    @property
    def gaps(self) -> str:
        """The gap plain − bn at each size by every reading, with its 95 % interval over pairs."""
        cells = [
            [
                row["protocol"].removeprefix("compact: mask size ").replace("x", "×"),
                *(
                    f"{plain_number(row[f'{name} gap'])} ({interval_words(row[f'{name} low'], row[f'{name} high'])})"
                    for name in ("contrast", "J", "right")
                ),
            ]
            for row in self._table("protocols").to_dict("records")
        ]
        return markdown([["mask", "contrast", "J (below 0: better for plain)", "right"], *cells])

    def at(self, side: float, arm: str) -> str:
        """What the curve of an arm says of masks of a side."""
        curve = self._table("capacity").set_index("arm")
        return f"{float(right_at(side, curve['curve_side'][arm], curve['slope'][arm])):.2f}"

    @property
    def sides(self) -> str:
        """Each arm's side with its interval and bits, that of straight lines, and how far means lie off the curve."""
        cells = [
            [
                row["arm"],
                f"{row['curve_side']:.1f}",
                f"{_end(row['low'])} to {_end(row['high'])}",
                "–" if math.isnan(row["bits_per_1000_numbers"]) else f"{row['bits_per_1000_numbers']:.2f}",
                f"{row['isotonic']:.1f}",
                f"{row['misfit']:.3f}",
            ]
            for row in self._table("capacity").to_dict("records")
        ]
        return markdown(
            [["arm", "side", "95 % interval", "bits per 1,000 numbers", "straight lines", "misfit"], *cells]
        )

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
