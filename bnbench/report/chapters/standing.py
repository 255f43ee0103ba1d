"""How far a sweep is: which fits of its whole grid are done, which failed, and which are still to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import product

from bnbench.protocol.protocol import FitKey, Grid
from bnbench.report.arms import arm_order
from bnbench.results.sweeps import Sweep
from bnbench.wording import counted

_NAMED = 10  # fits of a kind that a sentence names; more are counted


@dataclass(frozen=True)
class Standing:
    """The whole grid of a sweep, each of its fits in one of three states.

    Attributes:
        grid: what a finished sweep has.
        done: the fits that have a result.
        failed: those that failed and have none, with the kind of their failure; the next run leaves them alone.
        to_run: those that have neither, which the next run computes.
    """

    grid: Grid
    done: Set[FitKey]
    failed: Mapping[FitKey, str]
    to_run: Sequence[FitKey]

    @property
    def per_arm(self) -> int:
        """Return how many fits of each arm the whole grid has."""
        return len(self.grid.probs) * len(self.grid.seeds)

    @property
    def share(self) -> str:
        """Return how many fits of the whole grid are done, in words: ``57 of 90 fits``."""
        return f"{len(self.done)} of {counted(len(self.done) + len(self.failed) + len(self.to_run), 'fit')}"

    def pairs(self, first: str, second: str) -> tuple[int, int]:
        """Return how many pairs of two arms are still to come, and how many a failed fit has cost."""
        to_come = lost = 0
        for p, seed in product(self.grid.probs, self.grid.seeds):
            keys = [FitKey(arm, p, seed) for arm in (first, second)]
            if any(key in self.failed for key in keys):
                lost += 1
            elif not all(key in self.done for key in keys):
                to_come += 1
        return to_come, lost

    def note(self) -> str:
        """Say what the sweep lacks: fits still to run, and by name those that failed; empty when it lacks nothing."""
        if not (self.to_run or self.failed):
            return ""
        share = f"{self.share} are done"
        lost = f"{len(self.failed)} failed ({self._failed_words()})" if self.failed else ""
        if not self.to_run:
            return f"Nothing is left to run: {share}, {lost}."
        return f"Unfinished: {share}, {len(self.to_run)} still to run{f', {lost}' if lost else ''}."

    def _failed_words(self) -> str:
        kinds: dict[str, list[str]] = {}
        for key, kind in sorted(self.failed.items()):
            kinds.setdefault(kind, []).append(str(key))
        named = {kind: fits if len(fits) <= _NAMED else [counted(len(fits), "fit")] for kind, fits in kinds.items()}
        return "; ".join(f"{kind}: {', '.join(fits)}" for kind, fits in named.items())


def standing(sweep: Sweep) -> Standing:
    """Say how far a sweep is, held to its whole grid."""
    grid, done = whole_grid(sweep), sweep.identities.keys()
    failed = {failure.key: failure.kind for failure in sweep.failures if failure.key not in done}
    to_run = [key for key in grid.fits() if key not in done and key not in failed]
    return Standing(grid, done, failed, to_run)


def whole_grid(sweep: Sweep) -> Grid:
    """Return what a finished sweep has: the grid that its last run asked for, and whatever else was fitted."""
    found = [*sweep.identities, *(failure.key for failure in sweep.failures)]
    found += sweep.asked.fits() if sweep.asked else []
    arms, probs, seeds = ({getattr(key, name) for key in found} for name in ("arm", "p", "seed"))
    return Grid(tuple(arm_order(arms)), tuple(sorted(probs)), tuple(sorted(seeds)))
