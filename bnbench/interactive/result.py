"""A sweep that has been run, as a notebook looks at it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bnbench.errors import RequestError
from bnbench.interactive.naming import Names, errors_name_arguments, in_python, names_of
from bnbench.interactive.one_fit import FittedLandscape
from bnbench.interactive.values import arms_of, folder_of, formats_of, pair_of
from bnbench.measures.registry import ALWAYS_STORED, REGISTERED, SHORT_NAMES
from bnbench.protocol.parsing import FORMATS
from bnbench.protocol.profiles import title
from bnbench.protocol.protocol import FitKey, Grid, Protocol
from bnbench.results.sweeps import read_sweep
from bnbench.stats.differences import per_p
from bnbench.sweep.request import EndedSweep
from bnbench.wording import counted, plain_number

if TYPE_CHECKING:
    from bnbench.interactive.written_report import WrittenReport

_READINGS = {f"{reading}_trained": name for reading, name in SHORT_NAMES.items()}
_LATER = [measure for measure in REGISTERED if measure.name not in ALWAYS_STORED]
_COLUMNS = (
    *("arm", "p", "seed", "policy", *ALWAYS_STORED),
    *("black_trained", "white_trained", "difference_trained", "wall_seconds"),
    *(measure.name for measure in _LATER),
    *(f"{measure.name}_trained" for measure in _LATER if measure.trained_column),
)


class SweepResult:
    """What a sweep's folder holds of the grid that was asked for.

    :attr:`fits` is read from the folder each time, so that fits of other runs count, such as another shard's;
    :attr:`failed` is what this run knew.

    Attributes:
        folder: the results folder, absolute.
        protocol: what its fits have in common.
        grid: which fits were asked for.
        broken: a sentence for each file that is in the way of a fit.
    """

    def __init__(self, swept: EndedSweep, names: Names) -> None:
        self.folder: Path = swept.plan.folder.absolute()  # a notebook may change its working directory
        self.protocol: Protocol = swept.plan.protocol
        self.grid: Grid = swept.plan.grid
        self.broken: list[str] = [in_python(sentence, names) for sentence in swept.plan.broken]
        self._failures = {key: in_python(message, names) for key, message in swept.failed.items()}

    @property
    def fits(self) -> pd.DataFrame:
        """Return a row per finished fit, under its headline BN policy, sorted by arm, p and seed.

        The columns are ``arm, p, seed, policy``; the mean accuracies and losses ``black, white, difference,
        black_loss, white_loss``; over trained pixels alone ``black_trained, white_trained, difference_trained``;
        ``wall_seconds``; the accuracy ``ensemble`` of all black pixels' averaged predictions; and the objective, as
        ``objective`` (J) and ``right``, over trained pixels ``objective_trained`` and ``right_trained``.
        """
        from bnbench.report.tables import fits_table  # here: figures take a second to import

        table = fits_table(read_sweep(self.folder))
        asked = {astuple(key) for key in self.grid.fits()}
        rows = [key in asked for key in zip(table["arm"], table["p"], table["seed"], strict=True)]
        return table.loc[np.array(rows, bool)].reindex(columns=[*_COLUMNS]).reset_index(drop=True)

    @property
    def landscapes(self) -> pd.DataFrame:
        """Return a row per pixel of every finished fit, see :data:`bnbench.results.schemas.LANDSCAPE_SCHEMA`."""
        landscapes = read_sweep(self.folder).landscapes
        asked = pd.DataFrame([astuple(key) for key in self.grid.fits()], columns=["arm", "p", "seed"])
        return landscapes.merge(asked, on=["arm", "p", "seed"]).reset_index(drop=True)

    def fit(self, arm: str, p: float, seed: int) -> FittedLandscape:
        """Return one finished fit, which a notebook shows as pictures.

        Args:
            arm: its name, or its label in figures, such as ``gelu`` for ``nets:gelu``.
            p: fill probability.
            seed: replicate.

        Raises:
            RequestError: the sweep has no such fit, or it is not done.
        """
        from bnbench.compared import arm_called

        arm = arm_called(arm, self.grid.arms)
        fits, key = self.fits, FitKey(arm, p, seed)
        mine = fits[(fits["arm"] == arm) & (fits["p"] == p) & (fits["seed"] == seed)]
        if mine.empty:
            raise RequestError(f"fit {key} is not done; .fits lists those that are.")
        landscapes = self.landscapes
        own = (landscapes["arm"] == arm) & (landscapes["p"] == p) & (landscapes["seed"] == seed)
        return FittedLandscape(key, self.protocol, mine.iloc[0], landscapes[own].reset_index(drop=True))

    @property
    def failed(self) -> pd.DataFrame:
        """Return a row per fit that failed in this run or an earlier one, ``arm, p, seed, message``."""
        rows = [(*astuple(key), message) for key, message in self._failures.items()]
        return pd.DataFrame(rows, columns=["arm", "p", "seed", "message"])

    def report(
        self,
        out: str | Path | None = None,
        *,
        formats: str | Iterable[str] = FORMATS,
        evaluations: str | Path | None = None,
        figure3: str | tuple[float, int] | None = None,
        arms: str | Iterable[str] = (),
    ) -> WrittenReport:
        """Write the report of all that the folder holds, see :func:`bnbench.build_report`.

        Args:
            out: where to write; by default ``reports/`` and the folder's name.
            formats: what to write, of :data:`bnbench.protocol.parsing.FORMATS`: one, several, or text with commas.
            evaluations: what ``bnbench evaluate`` wrote; by default ``evaluations`` in the folder.
            figure3: fill probability and seed of figure 3, such as (0.5, 1) or ``0.5,1``.
            arms: the two arms to compare, or text with a comma; by default plain and bn, else the first two of the run.

        Returns:
            What was written; ``.page`` is the page's path, which is also what it prints.

        Raises:
            RequestError: a format is unknown, or ``out`` cannot be written or belongs to results.
        """
        from bnbench.interactive.written_report import WrittenReport
        from bnbench.report import build_report

        with errors_name_arguments(names_of(SweepResult.report)):
            built = build_report(
                self.folder,
                folder_of(out, "out") or Path("reports") / self.folder.resolve().name,
                formats=formats_of(formats),
                evaluations=folder_of(evaluations, "evaluations"),
                figure3=pair_of(figure3),
                arms=arms_of(arms) if arms else (),
            )
        return WrittenReport(built.paths, built.broken, built.notes, built.headlines)

    def __repr__(self) -> str:
        return f"<SweepResult {title(self.protocol)}: {self._state(len(self.fits))}; {_short(self.folder)}>"

    def _repr_html_(self) -> str:
        fits = self.fits
        sentences = [f"{title(self.protocol)}: {self._state(len(fits))}.", *self._next(len(fits))]
        parts = [f"<p>{escape(' '.join(sentences))}</p>", _readings(fits, self.grid.arms) if len(fits) else ""]
        if len(self.failed):
            failures = (f"{key}: {message}" for key, message in self._failures.items())
            parts.append(f"<ul>{''.join(f'<li>{escape(failure)}</li>' for failure in failures)}</ul>")
        return "".join(parts)

    def _state(self, done: int) -> str:
        failed, unreadable = len(self._failures), len(self.broken)
        left = len(self.grid.fits()) - done - failed - unreadable
        counts = ((failed, "failed"), (unreadable, "unreadable"), (left, "to do"))
        found = "".join(f", {count:,} {word}" for count, word in counts if count > 0)
        return f"{counted(len(self.grid.fits()), 'fit')}, {done:,} done{found}"

    def _next(self, done: int) -> list[str]:
        """Say how to go on, a sentence each."""
        sentences = [f"Results are in {_short(self.folder)}."]
        if done + len(self._failures) + len(self.broken) < len(self.grid.fits()):
            sentences.append("The same call goes on.")
        if self._failures:
            sentences.append("With retry_failed=True it runs failed fits again.")
        if done:
            sentences.append(".report() writes figures, tables and a page.")
        return sentences


def _short(folder: Path) -> Path:
    """Return a folder as seen from the working directory, where it lies below it."""
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def _readings(fits: pd.DataFrame, arms: Sequence[str]) -> str:
    """Draw up the mean contrast, right and J over trained pixels, and n: a row per arm, a column per p."""
    shown = [name for name in _READINGS if name in fits]
    tables = [per_p(fits, name).set_index(["arm", "p"]) for name in shown]
    means = {
        key: f"{' / '.join(plain_number(table['mean'][key]) for table in tables)} (n = {tables[0]['n'][key]})"
        for key in tables[0].index
    }
    probs = sorted(fits["p"].unique())
    head = "".join(f"<th>p = {p:g}</th>" for p in probs)
    cells = {arm: "".join(f"<td>{means.get((arm, p), '–')}</td>" for p in probs) for arm in arms}
    names = " / ".join(_READINGS[name] for name in shown)
    body = "".join(f"<tr><th>{escape(arm)}</th>{cells[arm]}</tr>" for arm in arms)
    return (
        f"<table><caption>Means of n fits over trained pixels: {names}</caption>"
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"
    )
