"""What the kept report of a sweep says of the smoothness of its arms, for the page that shows it."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from readings import markdown

from bnbench.results.smoothness import MEASURES

ROOT = Path(__file__).parents[1]
_CHAPTER = "Is it smoothness?"
_NAMES = {"difference_trained": "contrast", "objective_trained": "J, sign turned", "right_trained": "right"}


class SmoothnessNumbers:
    """Sentences and tables of one report's chapter.

    Args:
        folder: the report's, below ``reports/``; one of its protocols has the chapter.
    """

    def __init__(self, folder: str) -> None:
        (found,) = (ROOT / "reports" / folder).glob("**/smoothness.csv")
        self._report, self._tables = ROOT / "reports" / folder, found.parent

    @cached_property
    def sentences(self) -> str:
        """The chapter's sentences, a bullet each: its rules choose them, no verdict is written by hand."""
        protocols = json.loads((self._report / "report.json").read_text(encoding="utf-8"))["protocols"]
        (protocol,) = (one for one in protocols if _CHAPTER in one["chapters"])
        return "\n".join(f"- {sentence}" for sentence in protocol["chapters"][_CHAPTER])

    @property
    def equal_steps(self) -> str:
        """Each arm held to plain, a column for each step: smoother by so many measures, rougher by so many."""
        return self._held("smoothness_equal_step", "step", "step {:,.0f}")

    @property
    def equal_loss(self) -> str:
        """The same, a column for each loss."""
        return self._held("smoothness_equal_loss", "level", "loss {:g}")

    @property
    def agreement(self) -> str:
        """Values of Kendall's τ whose interval lies on one side of 0, by place and reading."""
        cells = [
            [row["place"], _NAMES.get(row["reading"], row["reading"]), *(_counts(row) if row["values"] else ["–"] * 3)]
            for row in self._table("smoothness_tau_counts").to_dict("records")
        ]
        return markdown([["measured at", "reading", "values of τ", "above 0", "below 0"], *cells])

    def planes(self, *names: str) -> str:
        """Means of some measures at black pixels of fitted planes, a row for each arm."""
        table = self._table("smoothness_planes").set_index(["arm", "measure"])["mean"]
        arms = dict.fromkeys(arm for arm, _ in table.index)
        cells = [[arm, *(f"{table[arm, name]:.3g}" for name in names)] for arm in arms]
        return markdown([["arm", *(MEASURES.get(name, name) for name in names)], *cells])

    def _held(self, name: str, by: str, heading: str) -> str:
        table = self._table(name)
        places, arms = list(dict.fromkeys(table[by])), list(dict.fromkeys(table["arm"]))
        counts = table.set_index(["arm", by])
        cells = [
            [arm, *(f"{counts['smoother'][arm, at]} / {counts['rougher'][arm, at]}" for at in places)] for arm in arms
        ]
        return markdown([["arm", *(heading.format(at) for at in places)], *cells])

    def _table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self._tables / f"{name}.csv")


def _counts(row: dict[Any, Any]) -> list[str]:
    return [f"{row[name]}" for name in ("values", "above", "below")]
