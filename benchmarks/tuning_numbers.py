"""What a search of rate and initial scale says, as text for the pages."""

from __future__ import annotations

import json
import math
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from rungs import ARMS, READINGS, spread
from tuning_table import TUNED, paired_changes, paired_gaps

from bnbench.wording import plain_number, signed

ROOT = Path(__file__).parents[1]
_USUAL = "trial00"


class TuningNumbers:
    """Numbers of one search that is done, and of its comparison on the seeds that chose nothing.

    Args:
        folder: that of tuning.py, by its place in the repository or as it is.
    """

    def __init__(self, folder: str | Path = "evidence/tuning") -> None:
        self._folder = ROOT / folder

    @cached_property
    def _chosen(self) -> Any:
        return json.loads((self._folder / "best.json").read_text(encoding="utf-8"))

    @cached_property
    def _fits(self) -> pd.DataFrame:
        return pd.read_csv(self._folder / "tuning.csv")

    @property
    def trials(self) -> int:
        """How many there are."""
        return int(self._chosen["trials"])

    def best(self, arm: str) -> str:
        """The rate and scale that were chosen for an arm, or that these are the profile's own."""
        values = self._chosen["best"][arm]
        own = " (the profile's own)" if values["trial"] == _USUAL else ""
        return f"{values[TUNED[0]]:g} and {values[TUNED[1]]:g}{own}"

    def chose_by(self, arm: str) -> str:
        """An arm's mean J on the seeds that chose, of its best trial and, if others, of the profile's values."""
        means = self._search(arm)["objective"]
        best = self._chosen["best"][arm]["trial"]
        usual = "" if best == _USUAL else f" ({plain_number(means[_USUAL])} with the profile's values)"
        return f"{plain_number(means[best])}{usual}"

    def ahead_in(self, arm: str) -> int:
        """In how many trials an arm has the lower mean J on the seeds that chose."""
        (other,) = (one for one in ARMS if one != arm)
        return int((self._search(arm)["objective"] < self._search(other)["objective"]).sum())

    def change(self, arm: str, reading: str) -> str:
        """What an arm's best values change from the profile's on the other seeds, with the deviation over them."""
        changes = paired_changes(self._others, arm, _USUAL, self._chosen["best"][arm]["trial"])
        return _mean(changes[reading])

    def gap(self, reading: str, *, tuned: bool) -> str:
        """The gap plain − bn on the other seeds: both with the profile's values, or each with its own best."""
        best = {arm: self._chosen["best"][arm]["trial"] for arm in ARMS}
        return _mean(paired_gaps(self._others, best if tuned else dict.fromkeys(ARMS, _USUAL))[reading])

    def bn_ahead(self, *, tuned: bool) -> str:
        """On how many of the other seeds bn is ahead by J, right and contrast at once."""
        best = {arm: self._chosen["best"][arm]["trial"] for arm in ARMS}
        gaps = paired_gaps(self._others, best if tuned else dict.fromkeys(ARMS, _USUAL))
        ahead = (gaps["objective"] > 0) & (gaps["right"] < 0) & (gaps["difference"] < 0)
        return f"{ahead.sum()} of {len(gaps)}"

    @cached_property
    def _others(self) -> pd.DataFrame:
        return self._fits[~self._fits["seed"].isin(self._chosen["chosen_on"])]

    def _search(self, arm: str) -> pd.DataFrame:
        of_search = self._fits["seed"].isin(self._chosen["chosen_on"]) & (self._fits["arm"] == arm)
        return self._fits[of_search].groupby("trial")[list(READINGS)].mean()


def _mean(values: pd.Series) -> str:
    return spread(float(values.mean()), float(values.std()) if len(values) > 1 else math.nan, signed)
