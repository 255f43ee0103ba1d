"""Would the answer stand if fits that failed to train had counted otherwise? Tables in, tables out.

A fit that diverged has no value, and no statistic can give it one. So the headline is over the pairs that have
both values, diverged fits are counted beside it, and further lines say what they could hide: all as a difference
of 0 (the arm was not bent at all), and twice as one arm would have it, its own as the largest difference that it
reached anywhere and the other's as 0. A fit that ran to its end stays in, however weak; a last line leaves the
weak ones out.
"""

from __future__ import annotations

import pandas as pd

from bnbench.stats import differences

WEAK = 0.05  # a difference below this is a landscape that was hardly bent at all
_KEYS = ["arm", "p", "seed"]
Cases = list[tuple[str, pd.DataFrame]]


def counts(fits: pd.DataFrame, diverged: pd.DataFrame) -> pd.DataFrame:
    """Count how many fits of each arm have a value, are weak, or diverged.

    Args:
        fits: a row per fit: ``arm, difference`` and more.
        diverged: a row per fit that diverged: ``arm, p, seed``.

    Returns:
        A row per arm, sorted by name: ``arm, fits, weak, diverged``.
    """
    table = pd.DataFrame(
        {
            "fits": fits.groupby("arm").size(),
            "weak": (fits["difference"] < WEAK).groupby(fits["arm"]).sum(),
            "diverged": diverged.groupby("arm").size(),
        }
    )
    return table.fillna(0).astype(int).rename_axis("arm").reset_index()


def cases(fits: pd.DataFrame, diverged: pd.DataFrame, first: str, second: str) -> Cases:
    """Return the pairs under every way of counting that these fits give reason for, the headline's first.

    Args:
        fits: a row per fit: ``arm, p, seed, difference``.
        diverged: a row per fit that diverged: ``arm, p, seed``.
        first: the arm counted positive.
        second: the arm subtracted.

    Returns:
        What was done, in words, and the pairs as :func:`bnbench.stats.differences.paired` gives them.
    """
    fits = fits.loc[fits["arm"].isin([first, second]), [*_KEYS, "difference"]]
    lost = diverged.loc[diverged["arm"].isin([first, second]), _KEYS]
    found: Cases = [("every pair that has both values", differences.paired(fits, first, second))]
    if len(lost):
        best = fits.groupby("arm")["difference"].max()
        found.append(("diverged fits as 0, not bent at all", _filled(fits, lost, best * 0, first, second)))
        for arm, other in ((first, second), (second, first)):
            words = f"in favour of {arm}: its diverged fits as its largest difference, those of {other} as 0"
            found.append((words, _filled(fits, lost, best * (best.index == arm), first, second)))
    if (fits["difference"] < WEAK).any():
        strong = fits[fits["difference"] >= WEAK]
        found.append((f"without pairs that hold a fit below {WEAK:g}", differences.paired(strong, first, second)))
    return [(words, pairs) for words, pairs in found if len(pairs)]


def _filled(fits: pd.DataFrame, lost: pd.DataFrame, values: pd.Series, first: str, second: str) -> pd.DataFrame:
    """Return pairs with each arm's value for its fits that diverged; an arm without any value has none to give."""
    added = lost.assign(difference=lost["arm"].map(values)).dropna()
    return differences.paired(pd.concat([fits, added], ignore_index=True), first, second)
