"""What the fits of ``evidence/`` say beside those of ``results/``, as text for the pages."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pandas as pd
from readings import markdown, read, readings, settings_counts, settling_table
from rungs import READINGS

from bnbench.wording import interval_words, plain_number

ROOT = Path(__file__).parents[1]
_LENGTHS = [ROOT / "evidence/settling", ROOT / "evidence/settling-gpu"]
_ON_MASKS = [  # of a mask and length that two of them have, the first one counts
    ROOT / "evidence" / name for name in ("ladder/baseline", "speed", "settling", "settling-gpu", "settling-masks")
]
_ANEW = {  # where fits of one mask, seed 101, lie that differ in machine, commit or chunk alone
    3000: ("settling/compact-steps3000", "ladder/baseline"),
    12000: ("settling/compact-steps12000", "speed", "settling-anew"),
}


def against_steps() -> str:
    """A Markdown table of both readings against the steps of a fit, over trained pixels of held-out images."""
    return markdown(settling_table(read(_LENGTHS)))


def on_masks() -> str:
    """A Markdown table of both readings of plain / bn on each 30×30 mask, for lengths that several masks have."""
    head = ["steps", "mask of seed", *(f"{name}, plain / bn" for name in ("difference", "J", "right"))]
    rows = [
        [f"{steps:,}", f"{seed}", *(" / ".join(map(plain_number, arms[name])) for name in arms)]
        for (steps, seed), arms in _by_mask().items()
    ]
    return markdown([head, *rows])


def on_tuned_masks(reading: str) -> str:
    """What plain / bn reach with the profile's values on the masks of the search, on the mean."""
    (sweep,) = read([ROOT / "evidence/tuning/trial00"])
    means = readings(sweep).groupby("arm")[reading].mean()
    return " / ".join(plain_number(means[arm]) for arm in ("plain", "bn"))


def gaps_on_masks(steps: int, reading: str) -> str:
    """The gap plain − bn after so many steps on each of these masks, by seed."""
    gaps = [arms[reading]["plain"] - arms[reading]["bn"] for (length, _), arms in _by_mask().items() if length == steps]
    return " / ".join(map(plain_number, gaps))


def moved_on_masks(first: int, last: int, reading: str) -> dict[str, str]:
    """How far a reading of each arm moves from one length to another on these masks: the least and the most."""
    found = _by_mask()
    moved = pd.DataFrame(
        {seed: found[last, seed][reading] - found[first, seed][reading] for length, seed in found if length == last}
    )
    return {str(arm): interval_words(row.min(), row.max(), sign=True) for arm, row in moved.iterrows()}


def _by_mask() -> dict[tuple[int, int], pd.DataFrame]:
    """Both arms' readings by steps and seed, in this order, of lengths that several masks have."""
    found: dict[tuple[int, int], pd.DataFrame] = {}
    for sweep in read([folder for folder in _ON_MASKS if folder.exists()]):
        if sweep.protocol.mask.mask_size == (30, 30):
            for seed, fits in readings(sweep).groupby("seed"):
                arms = fits.set_index("arm").reindex(["plain", "bn"])[list(READINGS)]
                if not arms.isna().any(axis=None):  # both are there
                    found.setdefault((sweep.protocol.training.steps, int(str(seed))), arms)
    masks = Counter(steps for steps, _ in found)
    return {(steps, seed): arms for (steps, seed), arms in sorted(found.items()) if masks[steps] > 1}


def longer(steps: int, reading: str) -> dict[str, float]:
    """A reading of each arm after so many steps, on the 30×30 mask that was fitted at many lengths: trained pixels."""
    sweeps = [sweep for sweep in read(_LENGTHS) if sweep.protocol.mask.mask_size == (30, 30)]
    (fits,) = (readings(sweep) for sweep in sweeps if sweep.protocol.training.steps == steps)
    return {str(arm): float(value) for arm, value in fits.set_index("arm")[reading].items()}


def longer_gaps(steps: int, reading: str) -> str:
    """The gap plain − bn of it."""
    value = longer(steps, reading)
    return plain_number(value["plain"] - value["bn"])


def sensitivity() -> dict[str, str]:
    """What the settings below ``evidence/sensitivity`` say of plain and bn, in words."""
    return settings_counts(read([ROOT / "evidence/sensitivity"]))


def computed_anew(steps: int) -> str:
    """How far apart computations of one 30×30 fit lie at a length, with the arm that differs most."""
    found = _anew(steps).groupby("arm")[list(READINGS)]
    most = (found.max() - found.min()).max()
    return f"{most['difference']:.3f} in contrast, {most['objective']:.3f} in J and {most['right']:.3f} in right"


def gaps_anew(steps: int, reading: str) -> str:
    """The gap plain − bn in each of them, in their order."""
    gaps = _anew(steps).pivot(index="folder", columns="arm", values=reading)
    return " / ".join(plain_number(plain - bn) for plain, bn in zip(gaps["plain"], gaps["bn"], strict=True))


def _anew(steps: int) -> pd.DataFrame:
    """The readings of both arms on the mask that several folders have at a length, with the folder's number."""
    fits = [readings(read([ROOT / "evidence" / name])[0]).assign(folder=n) for n, name in enumerate(_ANEW[steps])]
    table = pd.concat(fits)
    return table[(table["p"] == 0.5) & (table["seed"] == 101)]


def computed_twice(profile: str, again: str) -> str:
    """How far computing a fit anew moves it: the fits of a sweep that are in a folder of evidence, too."""
    (first,), (second,) = read([ROOT / "results" / profile]), read([ROOT / "evidence" / again])
    both = readings(first).merge(readings(second), on=["arm", "p", "seed"])
    moves = {name: both[f"{name}_x"] - both[f"{name}_y"] for name in READINGS}
    most = {name: f"{move.abs().max():.3f}" for name, move in moves.items()}
    largest = moves["difference"].abs().idxmax()
    without = moves["difference"].drop(largest).abs().max()
    of_anew = moves["difference"].std() / math.sqrt(2)  # either of the two has its own
    over_seeds = math.sqrt(both.groupby(["arm", "p"])["difference_x"].var().mean())
    return (
        f"Of {len(both)} fits of `{profile}` at p = {both['p'].iloc[0]:g} the difference moved by up to "
        f"{most['difference']} (one fit; the others by up to {without:.3f}), J by up to {most['objective']} and right "
        f"by up to {most['right']}. Computing anew by itself gives the difference a standard deviation of "
        f"{of_anew:.3f}, and together with other seeds one of {over_seeds:.3f}"
    )
