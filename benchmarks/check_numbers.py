"""What the pages say of the tolerances of the check: from its baseline and the repetitions of check_spread.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property

import pandas as pd
from check_spread import ARMS, TABLE, VALUES, alarms, mean_changes

from bnbench.check.baseline import SETS, tolerance

STANDARD = SETS["standard"]
BASELINE = TABLE.with_name("baseline.json")
_GAP, _ACCURACY = "plain − bn: difference", "plain: black accuracy"
_SAID = {  # what a place of check_spread.py is called on the page, in the order of its table
    "8 pixels at once": "gradients added up in another order (8 pixels at once, not 64)",
    "40 pixels at once": "the same, 40 pixels at once",
    "no AVX-512": "a processor without AVX-512 (the same one, held to AVX2)",
    "two threads": "two threads, not one",
    "another torch": "torch 2.9.1, not 2.14.1",
}


class CheckNumbers:
    """How small a shift the statistical checks see, and how far clean changes came."""

    @cached_property
    def changes(self) -> pd.DataFrame:
        """Every fit's change, and whether it changed by a bit."""
        table = pd.read_csv(TABLE)
        return table.assign(changed=(table[VALUES] != 0).any(axis=1))

    @property
    def gap(self) -> float:
        """The baseline's gap between the arms."""
        return float(json.loads(BASELINE.read_text(encoding="utf-8"))["statistical"][_GAP])

    @property
    def gap_seen(self) -> float:
        """By how much the gap has to move to be seen."""
        return tolerance(_GAP, STANDARD)

    @property
    def accuracy_seen(self) -> float:
        """By how much one arm's accuracy has to move to be seen."""
        return tolerance(_ACCURACY, STANDARD)

    @property
    def gap_share_that_passes(self) -> str:
        """A gap that is smaller by this share, in tens, is still within."""
        return f"{100 * self.gap_seen / self.gap // 10 * 10:.0f} %"

    @property
    def repetitions(self) -> int:
        """How often the check's fits were computed here and elsewhere."""
        return int(self.changes["repetition"].nunique())

    @property
    def changed(self) -> int:
        """In how many repetitions a fit changed at all."""
        return int(self.changes.groupby("repetition")["changed"].any().sum())

    @property
    def rate(self) -> str:
        """The rate of false alarms that no alarm in ``changed`` repetitions allows, at 95 % confidence."""
        return f"{100 * (1 - 0.05 ** (1 / self.changed)):.1f} %"

    @property
    def largest(self) -> float:
        """The largest change of a mean, as a share of its tolerance."""
        return max(
            abs(change) / tolerance(name, STANDARD)
            for _, mine in self.changes.groupby("repetition")
            for name, change in mean_changes(mine).items()
        )

    @property
    def alarms(self) -> int:
        """In how many repetitions a quantity left its tolerance."""
        return sum(bool(alarms(mine, STANDARD)) for _, mine in self.changes.groupby("repetition"))

    def table(self) -> str:
        """A Markdown table of the places: how many fits changed, and the deviation of one fit's change."""
        heads = ("elsewhere", "repetitions", "fits that changed", *ARMS)
        return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *self._rows()])

    def _rows(self) -> Iterator[str]:
        groups = {str(place): mine for place, mine in self.changes.groupby("elsewhere")}
        assert set(groups) <= set(_SAID), f"check_spread.py has other places: {', '.join(groups)}"
        for place in (place for place in _SAID if place in groups):
            mine = groups[place]
            spread = mine.groupby("arm")[VALUES].std().max(axis=1)
            count = f"{mine['repetition'].nunique()} | {int(mine['changed'].sum())} of {len(mine)}"
            yield f"| {_SAID[place]} | {count} | {' | '.join(f'{spread[arm]:.3f}' for arm in ARMS)} |"
