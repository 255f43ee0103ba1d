"""Write the numbers that README and docs hold, from the committed reports and results.

    python benchmarks/page_numbers.py [PAGE ...]

A page keeps the sentence beside its numbers, as a comment that readers do not see:

    <!-- numbers
    The gap is {{ quick.gap }}.
    -->
    The gap is 0.080.
    <!-- end of numbers -->

What stands between the comments is written anew; running the script twice changes nothing. Numbers of a sweep
come from the tables of its kept report (``nox -s reports`` makes them), so that a finished fit more changes no page.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from capacity_numbers import CapacityNumbers
from check_numbers import CheckNumbers
from commits import unpublished_commits
from evidence_numbers import (
    against_steps,
    computed_anew,
    computed_twice,
    gaps_on_masks,
    longer,
    longer_gaps,
    on_each_mask,
    on_masks,
    sensitivity,
)
from jinja2 import Environment, StrictUndefined
from ladder_numbers import LadderNumbers
from readings import at_equal_white_loss, read
from readings import markdown as readings_as_markdown
from smoothness_numbers import SmoothnessNumbers
from tuning_numbers import TuningNumbers

from bnbench.wording import duration, interval_words, plain_number
from evidence import markdown, read_fits

ROOT = Path(__file__).parents[1]
CONTRAST = "difference, trained pixels only"  # as the page's headline has it
_SHORT = {"J": "objective J, trained pixels only", "right": "pixels right, trained pixels only"}
PAGES = (*(ROOT / folder / "README.md" for folder in ("", "benchmarks", "evidence")), *sorted(ROOT.glob("docs/*.md")))
_OPENING, _CLOSING = "<!-- numbers\n", "<!-- end of numbers -->"
_BLOCK = re.compile(rf"(?m:^)( *){_OPENING}(.*?)\n\1-->\n(?:(?!{_OPENING}).)*?\1{_CLOSING}", re.DOTALL)


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


def kept_table(path: str, otherwise: str) -> str:
    """The table that a script has left, where it is committed; else a sentence that says it is not."""
    found = ROOT / path
    return found.read_text(encoding="utf-8").rstrip() if found.exists() else otherwise


def own_pictures() -> str:
    """A Markdown table of how far ``picture`` bends to five pictures, from what own_pictures.py has measured."""
    rows = pd.read_csv(ROOT / "benchmarks" / "own_pictures.csv").itertuples(index=False)
    cells = [[str(row[0]), f"{row[3]:.2f}", f"{row[4]:.2f}", plain_number(row[5]), f"{row[6]:.3f}"] for row in rows]
    return readings_as_markdown([["picture", "accuracy, black", "accuracy, white", "J", "right"], *cells])


def evidence(folder: str, **chosen: object) -> str:
    """A Markdown table of the protocols below ``evidence/``, a row for each; ``chosen`` names a knob and its value."""
    fits = read_fits(ROOT / "evidence" / folder)
    for name, value in chosen.items():
        fits = fits[fits[name] == value]
    return markdown(fits.sort_values(["mask_size", "images", "threshold", "steps"]))


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


def rendered(text: str) -> str:
    """A page with the numbers of today.

    Raises:
        ValueError: a block lacks its beginning or its end.
    """
    environment = Environment(undefined=StrictUndefined, autoescape=False)  # Markdown, and our own
    values: dict[str, Any] = {
        "quick": Numbers("quick"),
        "compact": Numbers("compact"),
        "capacity": CapacityNumbers,
        "check": CheckNumbers(),
        "computed_anew": computed_anew,
        "computed_twice": computed_twice,
        "against_steps": against_steps,
        "equal_loss_by_p": equal_loss_by_p,
        "equal_loss_share": equal_loss_share,
        "evidence": evidence,
        "fit_times": fit_times,
        "gaps_on_masks": gaps_on_masks,
        "kept_table": kept_table,
        "ladder": LadderNumbers,
        "longer": longer,
        "longer_gaps": longer_gaps,
        "on_each_mask": on_each_mask,
        "on_masks": on_masks,
        "own_pictures": own_pictures,
        "sensitivity": sensitivity,
        "smoothness": SmoothnessNumbers,
        "sweep_time": sweep_time,
        "tuning": TuningNumbers,
        "unpublished_commits": unpublished_commits,
    }

    def written(block: re.Match[str]) -> str:
        margin, template = block.groups()
        text = environment.from_string(template).render(values)
        return f"{margin}<!-- numbers\n{template}\n{margin}-->\n{text}\n{margin}<!-- end of numbers -->"

    now, blocks = _BLOCK.subn(written, text)
    if not text.count(_OPENING) == text.count(_CLOSING) == blocks:
        raise ValueError(f"a page has {text.count(_OPENING)} blocks of numbers, {text.count(_CLOSING)} of which end.")
    return now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", metavar="PAGE", nargs="*", type=Path, default=PAGES)
    for page in parser.parse_args().pages:
        text = page.read_text(encoding="utf-8")
        try:
            now = rendered(text)
        except ValueError as error:
            raise SystemExit(f"{page}: {error}") from error
        if now != text:
            page.write_text(now, encoding="utf-8")
            print(f"{page.relative_to(ROOT) if page.is_relative_to(ROOT) else page}: written anew")


if __name__ == "__main__":
    main()
