"""What the ladder's table says, as text for the pages."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path

import pandas as pd
import scipy.stats
from ladder_table import FIRST, LAST, pixels_of
from rungs import READINGS, spread

from bnbench.results.sweeps import read_sweep
from bnbench.wording import plain_number, signed

ROOT = Path(__file__).parents[1]


class LadderNumbers:
    """Numbers of one ladder, by rung and arm, on the images that its profile measures.

    Args:
        folder: the ladder's, below ``evidence/``.
        pixels: ``trained`` for all trained pixels, ``inside`` for those that no frame takes.
    """

    def __init__(self, folder: str, pixels: str = "inside") -> None:
        self._folder, self._pixels = ROOT / "evidence" / folder, pixels

    @cached_property
    def _rows(self) -> pd.DataFrame:
        table = pd.read_csv(self._folder / "ladder.csv")
        own = table[table["pixels"] == self._pixels].drop_duplicates(["rung", "arm"])
        return own.set_index(["rung", "arm"])

    def level(self, rung: str, arm: str, reading: str = "difference") -> str:
        """A reading's mean over seeds."""
        return spread(self._rows[reading][rung, arm], math.nan, plain_number)

    def change(self, rung: str, arm: str, reading: str = "difference") -> str:
        """Its paired change from the first rung, with the deviation over seeds."""
        mean, deviation = (self._rows[f"{reading}_change{end}"][rung, arm] for end in ("", "_sd"))
        return spread(mean, deviation, signed)

    def short_of(self, rung: str, arm: str) -> str:
        """By how much the contrast over all trained pixels lies below the authors'."""
        return spread(-self._rows["distance"][rung, arm], math.nan, plain_number)

    def alone(self, arm: str, reading: str = "difference") -> str:
        """The sum of what each change does by itself, what all would do if none depended on another; a dash if one is
        missing.
        """
        changes = self._rows[f"{reading}_change"].xs(arm, level="arm").drop([FIRST, LAST])
        return spread(float(changes.sum(skipna=False)), math.nan, signed)

    def told_apart(self, reading: str | None = None) -> str:
        """How many changes of single rungs have a 95 % t interval over seeds without 0, and of how many.

        Args:
            reading: of one reading alone; of all, unless given.
        """
        single = self._rows.drop([FIRST, LAST], level="rung")
        of_each = [
            single[f"{name}_change"].abs()
            > scipy.stats.t.ppf(0.975, single["pairs"] - 1) * single[f"{name}_change_sd"] / single["pairs"] ** 0.5
            for name in READINGS
            if reading in (None, name)
        ]
        return f"{sum(int(one.sum()) for one in of_each)} of {len(single) * len(of_each)}"

    def ahead(self, rung: str, arm: str) -> str:
        """On how many masks plain or bn is ahead by contrast, J and right at once, and of how many."""
        fits = pd.read_csv(self._folder / "fits.csv")
        fits = fits[(fits["rung"] == rung) & (fits["pixels"] == self._pixels)].drop_duplicates(["arm", "seed"])
        own, other = (fits[(fits["arm"] == arm) == mine].set_index("seed") for mine in (True, False))
        gaps = own[list(READINGS)] - other[list(READINGS)]
        ahead = (gaps["difference"] > 0) & (gaps["objective"] < 0) & (gaps["right"] > 0)
        return f"{ahead.sum()} of {len(gaps)}"

    def over(self, colour: str, rung: str, arm: str, reading: str) -> str:
        """Mean ``loss`` or ``accuracy`` over trained ``black`` or ``white`` pixels, then over seeds."""
        sweep = read_sweep(self._folder / rung)
        pixels = pixels_of(sweep.landscapes, sweep.protocol.mask.mask_size, self._pixels)
        own = pixels[(pixels["black"] == (colour == "black")) & pixels["trained"] & (pixels["arm"] == arm)]
        return f"{own.groupby('seed')[f'test_{reading}'].mean().mean():.2f}"
