"""What the ladder's table says, as text for the pages."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path

import pandas as pd
import scipy.stats
from ladder_table import FIRST, LAST, PIXELS, authors_contrast, pixels_of
from readings import markdown
from rungs import ARMS, READINGS, fits_of, spread

from bnbench.protocol.profiles import PROFILES
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


class LongerLadder:
    """The first rung and the last one at another length than the ladder's, on the masks that both have.

    Args:
        first: folder of fits of the profile, below ``evidence/``.
        last: folder of fits with every change.
    """

    def __init__(self, first: str, last: str) -> None:
        self._folders = {FIRST: ROOT / "evidence" / first, LAST: ROOT / "evidence" / last}

    @cached_property
    def _fits(self) -> pd.DataFrame:
        """A row per rung, set of pixels and fit with every reading, and ``black``, the accuracy on black pixels."""
        found = []
        for rung, folder in self._folders.items():
            sweep = read_sweep(folder)
            protocol = sweep.protocol
            for pixels in PIXELS:
                own = pixels_of(sweep.landscapes, protocol.mask.mask_size, pixels)
                own = own.rename(columns={"test_loss": "loss", "test_accuracy": "accuracy"})
                black = own[own["black"] & own["trained"]].groupby(["arm", "seed"])["accuracy"].mean().rename("black")
                fits = fits_of(own, protocol.training.threshold).join(black, on=["arm", "seed"])
                found.append(fits.assign(rung=rung, pixels=pixels))
        table = pd.concat(found, ignore_index=True)
        masks = table.groupby("seed")[["rung", "arm"]].apply(lambda rows: len(rows.drop_duplicates()))
        return table[table["seed"].isin(masks.index[masks == len(self._folders) * len(ARMS)])]

    @property
    def seeds(self) -> str:
        """The masks that both rungs have of both arms."""
        return " and ".join(map(str, sorted(self._fits["seed"].unique())))

    def level(self, rung: str, arm: str, reading: str, pixels: str = "inside") -> str:
        """A reading's mean over these masks: any of the readings, or ``black`` for the accuracy on black pixels."""
        fits = self._fits
        own = fits[(fits["rung"] == rung) & (fits["arm"] == arm) & (fits["pixels"] == pixels)]
        return plain_number(own[reading].mean())

    def short_of(self, rung: str, arm: str) -> str:
        """By how much the contrast over all trained pixels lies below the authors' at p = 0.5."""
        theirs = authors_contrast(PROFILES["compact"], 0.5)[arm]
        own = self._fits[(self._fits["rung"] == rung) & (self._fits["arm"] == arm)]
        return plain_number(theirs - own.loc[own["pixels"] == "trained", "difference"].mean())

    @property
    def table(self) -> str:
        """A Markdown table, a row per rung and arm: every reading over all trained pixels and over those inside."""
        head = ["rung", "arm", *(f"{name}, {pixels}" for pixels in PIXELS for name in ("contrast", "J", "right"))]
        rows = [
            [rung, arm, *(self.level(rung, arm, reading, pixels) for pixels in PIXELS for reading in READINGS)]
            for rung in self._folders
            for arm in ARMS
        ]
        return markdown([head, *rows])
