"""What the kept report of a sweep says, and its fits by themselves, as text for the pages."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pandas as pd
from readings import at_equal_white_loss, markdown, read

from bnbench.report.chapters import speed
from bnbench.stats.speed import AT_FIRST, NEVER
from bnbench.wording import duration, interval_words, plain_number

ROOT = Path(__file__).parents[1]
CONTRAST = "difference, trained pixels only"  # as the page's headline has it
_SHORT = {"J": "objective J, trained pixels only", "right": "pixels right, trained pixels only"}


class Numbers:
    """What the kept report of a sweep says of plain and bn, as text: a true minus, three places.

    Args:
        profile: the report's folder below ``reports/``.
    """

    def __init__(self, profile: str) -> None:
        self._tables = ROOT / "reports" / profile / "tables"

    @cached_property
    def _quantities(self) -> pd.DataFrame:
        return pd.read_csv(self._tables / "quantities.csv", index_col="quantity")

    @cached_property
    def _end(self) -> pd.DataFrame:
        return pd.read_csv(self._tables / "training_end.csv", index_col="arm")

    @cached_property
    def _report(self) -> dict[str, dict[str, str]]:
        report = json.loads((self._tables.parent / "report.json").read_text(encoding="utf-8"))
        found: dict[str, dict[str, str]] = report["protocols"][0]
        return found

    @property
    def headline(self) -> str:
        """The page's headline, which the page's rules choose: no verdict is written by hand."""
        return self._report["answer"]["headline"]

    @property
    def objective(self) -> str:
        """The page's sentence on the objective."""
        return self._report["answer"]["objective"]

    @property
    def reserved(self) -> str:
        """The page's sentences on what one number for all p hides."""
        return " ".join(self._report["answer"]["reserved"])

    @property
    def fits(self) -> str:
        """How many fits are done, and of how many: 49 of 90."""
        return self._report["run"]["Fits"].partition(":")[0]

    @property
    def pairs(self) -> int:
        """Pairs of (p, seed) that have both arms."""
        return int(self._quantities["pairs"][CONTRAST])

    def gap(self, quantity: str = CONTRAST) -> str:
        """The mean of plain − bn over the pairs; J and right stand for those over trained pixels."""
        return plain_number(self._quantities["gap"][_SHORT.get(quantity, quantity)])

    def interval(self, quantity: str = CONTRAST) -> str:
        """The gap's 95 % interval."""
        low, high = (self._quantities[end][_SHORT.get(quantity, quantity)] for end in ("low", "high"))
        return interval_words(low, high)

    def mean(self, arm: str, quantity: str = CONTRAST) -> str:
        """An arm's mean over the pairs."""
        return plain_number(self._quantities[f"{arm} mean"][_SHORT.get(quantity, quantity)])

    def past_threshold(self, arm: str) -> str:
        """Share of an arm's sampled white pixels past the threshold over the last tenth of the steps, in per cent."""
        return f"{100 * self._end['clamped'][arm]:.1f} %"


class SpeedNumbers:
    """How soon the fits of one sweep find their masks: sentences and a table of its kept report.

    Args:
        folder: the report's, below ``reports/``, or as it is.
    """

    def __init__(self, folder: str | Path) -> None:
        self._report = ROOT / "reports" / folder

    @property
    def sentences(self) -> str:
        """The chapter's sentences but for its introduction, a bullet each: its rules choose them."""
        (found,) = json.loads((self._report / "report.json").read_text(encoding="utf-8"))["protocols"]
        return "\n".join(f"- {sentence}" for sentence in found["chapters"][speed.TITLE][1:])

    def ahead(self, measure: str, step: int) -> str:
        """On how many masks plain is ahead at a measured step, and of how many."""
        rows = pd.read_csv(self._report / "tables" / "courses.csv")
        rows = rows[(rows["pixels"] == "trained") & (rows["step"] == step)]
        values = rows.pivot(index="seed", columns="arm", values=measure)
        ahead = _sign(measure) * (values["plain"] - values["bn"]) > 0
        return f"{ahead.sum()} of {len(ahead)}"

    def turn(self, measure: str) -> tuple[int, int]:
        """The measured steps up to which bn's mean is ahead, and from which on plain's is.

        Raises:
            ValueError: the lead does not pass from bn to plain, and once.
        """
        rows = pd.read_csv(self._report / "tables" / "measured_on_the_way.csv")
        means = rows[rows["measure"] == measure].pivot(index="step", columns="arm", values="mean").sort_index()
        lead = _sign(measure) * (means["plain"] - means["bn"])
        before, after = lead.index[lead < 0], lead.index[lead > 0]
        if not (len(before) and len(after)) or len(before) + len(after) < len(lead) or before[-1] > after[0]:
            raise ValueError(f"{measure}: the lead does not pass from bn to plain, and once.")
        return int(before[-1]), int(after[0])

    @property
    def steps(self) -> str:
        """A Markdown table, a row per mask: the steps that each arm took until the mask was found."""
        until = pd.read_csv(self._report / "tables" / "steps_until.csv")
        arms = list(dict.fromkeys(until["arm"]))
        rows = [
            [f"{seed}", *(_steps(fits[fits["arm"] == arm]) for arm in arms)] for seed, fits in until.groupby("seed")
        ]
        return markdown([["mask of seed", *arms], *rows])


def _sign(measure: str) -> int:
    """1 where more is better, and −1 of the objective, where less is."""
    return -1 if measure == "objective" else 1


def _steps(fits: pd.DataFrame) -> str:
    """How many steps the one fit took, or that it had too few; nothing where there is none."""
    if fits.empty:
        return ""
    (fit,) = fits.to_dict("records")
    if fit["state"] == NEVER:
        return f"over {fit['last']:,}"
    return f"{'at most ' if fit['state'] == AT_FIRST else ''}{fit['steps']:,.0f}"


def equal_loss_share(profile: str) -> str:
    """Share of the gap in white accuracy, over trained pixels, that there is between white pixels of equal loss."""
    (sweep,) = read([ROOT / "results" / profile])
    gap, equal = at_equal_white_loss(sweep)
    return f"{100 * equal / gap:.0f} %"


def equal_loss_by_p(profile: str) -> str:
    """The same in bins of the losses of each fill probability: of the gap over all of them, the lowest and the highest.

    All of them have as many pairs and weigh the same.
    """
    (sweep,) = read([ROOT / "results" / profile])
    pixels, parts = sweep.landscapes, {}
    for p in pixels["p"].unique():
        parts[float(p)] = at_equal_white_loss(replace(sweep, landscapes=pixels[pixels["p"] == p]))
    whole = sum(equal for _, equal in parts.values()) / sum(gap for gap, _ in parts.values())
    shares = {p: equal / gap for p, (gap, equal) in parts.items()}
    low, high = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
    return (
        f"{100 * whole:.0f} % with bins of each p, from {100 * shares[low]:.0f} % at p = {low:g} to "
        f"{100 * shares[high]:.0f} % at p = {high:g}"
    )


def fit_times(profile: str) -> str:
    """Median wall time of a fit of plain and of bn."""
    return ", ".join(duration(seconds) for seconds in _fit_seconds(profile))


def sweep_time(profile: str, fits_per_arm: int = 45, cores: int = 2) -> str:
    """What a whole sweep takes at the median of each arm, on two cores."""
    return duration(sum(_fit_seconds(profile)) * fits_per_arm / cores)


def _fit_seconds(profile: str) -> list[float]:
    """The median wall time of each arm's fits, plain first."""
    fits = pd.read_csv(ROOT / "reports" / profile / "tables" / "fits.csv")
    return [statistics.median(fits.loc[fits["arm"] == arm, "wall_seconds"]) for arm in ("plain", "bn")]
