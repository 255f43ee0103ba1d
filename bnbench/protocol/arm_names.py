"""What arms are called wherever a person reads: one rule for page, figures, tables and log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bnbench.protocol.protocol import BUILT_IN, FitKey


def short_names(arms: Iterable[str]) -> dict[str, str]:
    """Return what each arm is called: ``package.module:factory`` is ``factory`` where no other arm is.

    A name that is taken by another of the arms, or by a built-in one whether it is among them or not, stays whole.
    """
    distinct = list(dict.fromkeys(arms))
    short = {arm: arm.rpartition(":")[2] for arm in distinct}
    taken = [*(arm for arm in BUILT_IN if arm not in distinct), *short.values()]
    return {arm: name if name and (arm == name or taken.count(name) == 1) else arm for arm, name in short.items()}


def short_key(key: FitKey, names: dict[str, str]) -> FitKey:
    """Return a fit's key by what its arm is called."""
    return replace(key, arm=names.get(key.arm, key.arm))


def names_words(names: dict[str, str]) -> str:
    """Say which arms the short names stand for: ``group_norm is my_arms:group_norm``; empty where none is short."""
    return ", ".join(f"{short} is {arm}" for arm, short in names.items() if short != arm)
