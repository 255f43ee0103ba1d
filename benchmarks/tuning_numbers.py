"""What a search of rate and initial scale says, as text for the pages."""

from __future__ import annotations

import json
import math
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from readings import markdown
from rungs import ARMS, READINGS, spread
from scipy import stats
from tuning_table import SHOWN, TUNED, paired_changes, paired_gaps

from bnbench.measures.registry import SHORT_NAMES
from bnbench.wording import interval_words, plain_number, signed

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

    def loses(self, arm: str) -> str:
        """By how much an arm's mean J on the seeds that chose rises from its best trial to the mean of all others."""
        means, best = self._search(arm)["objective"], self._chosen["best"][arm]["trial"]
        return plain_number(means.drop(best).mean() - means[best])

    def change(self, arm: str, reading: str) -> str:
        """What an arm's best values change from the profile's on the other seeds, with the deviation over them."""
        return _mean(self._changes(arm)[reading])

    def gap(self, reading: str, *, tuned: bool) -> str:
        """The gap plain − bn on the other seeds: both with the profile's values, or each with its own best."""
        return _mean(self._gaps(tuned=tuned)[reading])

    def told_apart(self, *, tuned: bool) -> str:
        """The readings whose 95 % t interval of that gap over the other seeds leaves out 0."""
        gaps = self._gaps(tuned=tuned)
        names = [SHORT_NAMES[one] for one in SHOWN if (ends := t_interval(gaps[one]))[0] > 0 or ends[1] < 0]
        return " and ".join(names) or "none"

    def others(self) -> str:
        """A Markdown table of the other seeds, a row per reading: both gaps, and what bn's best changes."""
        columns = {
            "plain − bn, the profile's values": self._gaps(tuned=False),
            "plain − bn, each at its best": self._gaps(tuned=True),
            "bn: its best less the profile's values": self._changes("bn"),
        }
        rows = [[SHORT_NAMES[one], *(_with_interval(values[one]) for values in columns.values())] for one in SHOWN]
        return markdown([["mean ± deviation (95 % interval)", *columns], *rows])

    def bn_ahead(self, *, tuned: bool) -> str:
        """On how many of the other seeds bn is ahead by J, right and contrast at once."""
        gaps = self._gaps(tuned=tuned)
        ahead = (gaps["objective"] > 0) & (gaps["right"] < 0) & (gaps["difference"] < 0)
        return f"{ahead.sum()} of {len(gaps)}"

    def _changes(self, arm: str) -> pd.DataFrame:
        return paired_changes(self._others, arm, _USUAL, self._chosen["best"][arm]["trial"])

    def _gaps(self, *, tuned: bool) -> pd.DataFrame:
        best = {arm: self._chosen["best"][arm]["trial"] for arm in ARMS}
        return paired_gaps(self._others, best if tuned else dict.fromkeys(ARMS, _USUAL))

    @cached_property
    def _others(self) -> pd.DataFrame:
        return self._fits[~self._fits["seed"].isin(self._chosen["chosen_on"])]

    def _search(self, arm: str) -> pd.DataFrame:
        of_search = self._fits["seed"].isin(self._chosen["chosen_on"]) & (self._fits["arm"] == arm)
        return self._fits[of_search].groupby("trial")[list(READINGS)].mean()


def _mean(values: pd.Series) -> str:
    return spread(float(values.mean()), float(values.std()) if len(values) > 1 else math.nan, signed)


def t_interval(values: pd.Series) -> tuple[float, float]:
    """The 95 % t interval of a mean; not a number of a single value."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std() / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)


def _with_interval(values: pd.Series) -> str:
    return f"{_mean(values)} ({interval_words(*t_interval(values), sign=True)})"
