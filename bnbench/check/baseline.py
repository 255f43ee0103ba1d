"""Regression against a committed baseline: have the accuracies moved?

Two kinds of checks, kept apart. *Exact* ones recompute in float64 what no training has amplified: masks,
parameter counts, the plane's geometry, the first steps' losses and gradients, landscapes (exact.py).
*Statistical* ones fit small masks and compare means over the fits, with a tolerance that comes from how much
such means vary when nothing but rounding changes (benchmarks/README.md has the measurement).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from bnbench.errors import RequestError
from bnbench.process.reading import read_json
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import Protocol
from bnbench.results.summary import headline_rows

FORMAT = 3
_LARGEST = 1e300
FIRST_STEPS = "first steps"  # of an arm: DONE, or how they failed
DONE = "done"
FAILED = "fits that failed"
Kind = Literal["exact", "statistical"]
Value = float | int | str


@dataclass(frozen=True)
class CheckSet:
    """A named set of fits.

    Attributes:
        protocol: of all of them.
        probs: their fill probabilities.
        seeds: their seeds.
        spread: standard deviation of one fit's accuracy difference, of its black and of its white accuracy
            between two runs that differ in rounding alone.
    """

    protocol: Protocol
    probs: tuple[float, ...]
    seeds: tuple[int, ...]
    spread: Mapping[str, float]


def check_set(name: str) -> CheckSet:
    """Return the set of fits of a name.

    Raises:
        RequestError: there is none of this name.
    """
    if name not in SETS:
        raise RequestError(f"--set {name} is unknown; use {' or '.join(SETS)}.")
    return SETS[name]


def statistical_quantities(summaries: pd.DataFrame, arms: Sequence[str]) -> dict[str, float]:
    """Return the means over the fits of a sweep: what the suite is for.

    Args:
        summaries: of the fits, see :class:`bnbench.results.sweeps.Sweep`.
        arms: the first is the one that the others are compared with.

    Returns:
        Name, such as ``plain − bn: difference``, to value, see :func:`statistical_names`; every fit weighs the same.
    """
    quantities = ["black", "white", "difference"]
    means: dict[Any, Any] = headline_rows(summaries).groupby("arm")[quantities].mean().to_dict("index")
    found = {f"{arm}: {colour} accuracy": means[arm][colour] for arm in arms for colour in ("black", "white")}
    gaps = {
        f"{arms[0]} − {arm}: difference": means[arms[0]]["difference"] - means[arm]["difference"] for arm in arms[1:]
    }
    return {**found, **gaps}


def statistical_names(arms: Sequence[str]) -> list[str]:
    """Return the names of a sweep's statistical quantities where no fit failed, the number of those included."""
    accuracies = [f"{arm}: {colour} accuracy" for arm in arms for colour in ("black", "white")]
    return [FAILED, *accuracies, *(f"{arms[0]} − {arm}: difference" for arm in arms[1:])]


def tolerance(name: str, check_set: CheckSet) -> float:
    """Return how far a mean may lie from the baseline's: five standard errors of a change by rounding alone.

    ``spread`` is that of one fit's change from one run to another, so that both runs' variation is in it. A mean over
    N fits changes by spread / √N; a gap between two arms by √2 times that, for both of them change.
    """
    quantity = name.partition(": ")[2].removesuffix(" accuracy")
    arms = 2 if quantity == "difference" else 1
    fits = len(check_set.probs) * len(check_set.seeds)
    return 5 * check_set.spread[quantity] * math.sqrt(arms / fits)


def read_baseline(path: Path, name: str, arms: Sequence[str], kinds: Sequence[Kind]) -> dict[str, Any]:
    """Read a baseline and hold it to what is asked now.

    Raises:
        RequestError: there is none, it is damaged, it is of other arms or of another protocol, or it lacks a kind
            of checks or a statistical quantity, or holds another one.
    """
    try:
        baseline: dict[str, Any] = read_json(path)
        written, held = baseline["format"], [str(arm) for arm in baseline["arms"]]
        made_by = baseline["set"], baseline["hash"], baseline["probs"], baseline["seeds"]
        is_whole = all(_is_table(baseline[kind]) for kind in ("exact", "statistical") if kind in baseline)
        is_whole &= isinstance(baseline["provenance"], dict)
    except FileNotFoundError as error:
        raise RequestError(f"{path} is not there; bnbench check {path} --update writes it.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{path} is not a baseline of bnbench check; write a new one with --update.") from error
    if written != FORMAT:
        raise RequestError(
            f"{path} was written by a bnbench that checked other quantities; write a new one with --update."
        )
    if not is_whole:
        raise RequestError(f"{path} is not a baseline of bnbench check; write a new one with --update.")
    chosen = SETS[name]
    if made_by != (name, chosen.protocol.hash, list(chosen.probs), list(chosen.seeds)):
        raise RequestError(f"{path} was made by another set of fits ({made_by[0]}); write a new one with --update.")
    if held != list(arms):
        raise RequestError(f"--arms {','.join(arms)}: {path} holds {','.join(held)}; give those, or --update.")
    if missing := [kind for kind in kinds if kind not in baseline]:
        there = "".join(f"give --only {kind}, or " for kind in ("exact", "statistical") if kind in baseline)
        raise RequestError(f"{path} holds no {missing[0]} checks; {there}write a new one with --update.")
    if "statistical" in kinds and (odd := sorted(set(baseline["statistical"]) ^ set(statistical_names(arms)))):
        verb = "holds" if odd[0] in baseline["statistical"] else "lacks"
        raise RequestError(f"{path} {verb} {odd[0]!r}; write a new one with --update.")
    return baseline


def baseline_content(
    name: str, arms: Sequence[str], now: Mapping[Kind, Mapping[str, Value]], provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a baseline file holds."""
    check_set = SETS[name]
    grid = {"arms": list(arms), "probs": list(check_set.probs), "seeds": list(check_set.seeds)}
    quantities = {str(kind): dict(values) for kind, values in now.items()}
    return {
        "format": FORMAT,
        "set": name,
        "hash": check_set.protocol.hash,
        **grid,
        **quantities,
        "provenance": provenance,
    }


def _is_table(values: Any) -> bool:
    return isinstance(values, dict) and all(map(_is_value, values.values()))


def _is_value(value: Any) -> bool:
    is_number = isinstance(value, int | float) and abs(value) < _LARGEST  # neither NaN nor Infinity, which JSON has not
    return is_number or isinstance(value, str)


# Spread: measured by benchmarks/check_spread.py, see benchmarks/README.md.
SETS: dict[str, CheckSet] = {
    "standard": CheckSet(
        PROFILES["smoke"].with_knobs(steps=150),
        probs=(0.3, 0.5, 0.7),
        seeds=(1, 2, 3, 4),
        spread={"difference": 0.012, "black": 0.012, "white": 0.012},
    ),
}
