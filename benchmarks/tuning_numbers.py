"""What a search of rate and initial scale says, and what it chose does elsewhere, as text for the pages."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from rungs import ARMS, READINGS, spread
from tuning_table import SHOWN, TUNED, gap_interval, paired_changes, paired_gaps

from bnbench.measures.registry import SHORT_NAMES
from bnbench.wording import plain_number, signed

ROOT = Path(__file__).parents[1]
_USUAL = "trial00"


@dataclass(frozen=True)
class Comparison:
    """The profile's values and each arm's best, fitted to the same masks.

    Args:
        fits: a row per fit, ``trial``, arm, p, seed and every reading.
        usual: the trial of the profile's values.
        best: each arm's best trial.
    """

    fits: pd.DataFrame
    usual: str
    best: Mapping[str, str]

    def change(self, arm: str, reading: str) -> str:
        """What an arm's best values change from the profile's, with the deviation over masks."""
        return _mean(paired_changes(self.fits, arm, self.usual, self.best[arm])[reading])

    def gap(self, reading: str, *, tuned: bool) -> str:
        """The gap plain − bn: both with the profile's values, or each with its own best."""
        return _mean(self._gaps(tuned=tuned)[reading])

    def told_apart(self, *, tuned: bool) -> str:
        """The readings whose 95 % t interval of that gap over masks leaves out 0."""
        gaps = self._gaps(tuned=tuned)
        names = [SHORT_NAMES[one] for one in SHOWN if (ends := gap_interval(gaps[one]))[0] > 0 or ends[1] < 0]
        return ", ".join([*names[:-2], " and ".join(names[-2:])]) or "none"

    def bn_ahead(self, *, tuned: bool) -> str:
        """On how many masks bn is ahead by J, right and contrast at once, and of how many."""
        gaps = self._gaps(tuned=tuned)
        ahead = (gaps["objective"] > 0) & (gaps["right"] < 0) & (gaps["difference"] < 0)
        return f"{ahead.sum()} of {len(gaps)}"

    def _gaps(self, *, tuned: bool) -> pd.DataFrame:
        return paired_gaps(self.fits, self.best if tuned else dict.fromkeys(ARMS, self.usual))


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

    def loses(self, arm: str) -> str:
        """By how much an arm's mean J on the seeds that chose rises from its best trial to the mean of all others."""
        means, best = self._search(arm)["objective"], self._chosen["best"][arm]["trial"]
        return plain_number(means.drop(best).mean() - means[best])

    @cached_property
    def others(self) -> Comparison:
        """Both on the other seeds."""
        fits = self._fits[~self._fits["seed"].isin(self._chosen["chosen_on"])]
        return Comparison(fits, _USUAL, {arm: self._chosen["best"][arm]["trial"] for arm in ARMS})

    def _search(self, arm: str) -> pd.DataFrame:
        of_search = self._fits["seed"].isin(self._chosen["chosen_on"]) & (self._fits["arm"] == arm)
        return self._fits[of_search].groupby("trial")[list(READINGS)].mean()


def tuned_capacity(size: str, folder: str | Path = "evidence/tuned-capacity") -> Comparison:
    """Both on masks of one size: an arm without fits of its own at its best has the profile's."""
    fits = pd.read_csv(ROOT / folder / "capacity.csv")
    own = set(fits.loc[fits["trial"] == "best", "arm"])
    return Comparison(fits[fits["size"] == size], "usual", {arm: "best" if arm in own else "usual" for arm in ARMS})


def _mean(values: pd.Series) -> str:
    return spread(float(values.mean()), float(values.std()) if len(values) > 1 else math.nan, signed)
