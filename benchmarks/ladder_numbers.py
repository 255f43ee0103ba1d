"""What the ladder's table says, as text for the pages."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path

import pandas as pd
from ladder_table import FIRST, LAST
from rungs import spread

from bnbench.results.sweeps import read_sweep
from bnbench.wording import plain_number, signed

ROOT = Path(__file__).parents[1]


class LadderNumbers:
    """Numbers of one ladder, by rung and arm, on the images that its profile measures.

    Args:
        folder: the ladder's, below ``evidence/``.
    """

    def __init__(self, folder: str) -> None:
        self._folder = ROOT / "evidence" / folder

    @cached_property
    def _rows(self) -> pd.DataFrame:
        table = pd.read_csv(self._folder / "ladder.csv")
        return table.drop_duplicates(["rung", "arm"]).set_index(["rung", "arm"])

    def level(self, rung: str, arm: str, reading: str = "difference") -> str:
        """A reading's mean over seeds."""
        return spread(self._rows[reading][rung, arm], math.nan, plain_number)

    def change(self, rung: str, arm: str, reading: str = "difference") -> str:
        """Its paired change from the first rung, with the deviation over seeds."""
        mean, deviation = (self._rows[f"{reading}_change{end}"][rung, arm] for end in ("", "_sd"))
        return spread(mean, deviation, signed)

    def short_of(self, rung: str, arm: str) -> str:
        """By how much the contrast lies below the authors'."""
        return spread(-self._rows["distance"][rung, arm], math.nan, plain_number)

    def alone(self, arm: str, reading: str = "difference") -> str:
        """The sum of what each change does by itself, what all would do if none depended on another; a dash if one is
        missing.
        """
        changes = self._rows[f"{reading}_change"].xs(arm, level="arm").drop([FIRST, LAST])
        return spread(float(changes.sum(skipna=False)), math.nan, signed)

    def over(self, colour: str, rung: str, arm: str, reading: str) -> str:
        """Mean ``loss`` or ``accuracy`` over trained pixels, ``black`` or ``white``, then over seeds."""
        pixels = read_sweep(self._folder / rung).landscapes
        own = pixels[(pixels["black"] == (colour == "black")) & pixels["trained"] & (pixels["arm"] == arm)]
        return f"{own.groupby('seed')[f'test_{reading}'].mean().mean():.2f}"
