"""What a check finds: each quantity beside its baseline, within its tolerance, outside, or compared with nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bnbench.check.baseline import DONE, FAILED, FIRST_STEPS, CheckSet, Kind, Value, tolerance
from bnbench.errors import RequestError

RELATIVE = 1e-9  # two orders of float64 sums agree to about 1e-13; a wrong equation differs in the first digits
_SMALL = 1e-3  # what is smaller than this, such as the cosine of a right angle, is held to RELATIVE times this
NONE = "none"  # in place of a value that there is not


@dataclass(frozen=True)
class Finding:
    """One quantity, then and now.

    Attributes:
        kind: exact or statistical.
        name: what it is.
        baseline: its value in the baseline.
        now: its value here.
        tolerance: how far apart the two may be; 0 where they must be equal.
        is_compared: whether both have it; not so where settings are new to a baseline, or no longer checked.
    """

    kind: Kind
    name: str
    baseline: Value
    now: Value
    tolerance: float
    is_compared: bool = True

    @property
    def is_within(self) -> bool:
        """Return whether the quantity is where it was; one that nothing is compared with is nowhere else."""
        if not self.is_compared:
            return True
        if isinstance(self.baseline, str) or isinstance(self.now, str):
            return self.baseline == self.now
        return math.isfinite(self.now) and abs(self.now - self.baseline) <= self.tolerance


def compare(baseline: Mapping[str, Any], now: Mapping[Kind, Mapping[str, Value]], check_set: CheckSet) -> list[Finding]:
    """Set what was measured beside the baseline, quantity by quantity; one that a failure left out is outside.

    Settings that one of the two has as a whole, and the other not at all, came or went with a version of bnbench: their
    quantities are listed, and not compared.

    Raises:
        RequestError: the baseline holds other quantities.
    """
    findings: list[Finding] = []
    for kind, quantities in now.items():
        common = set(map(_settings, baseline[kind])) & set(map(_settings, quantities)) | {""}
        for name, value in quantities.items():
            if _settings(name) not in common:
                findings.append(Finding(kind, name, NONE, value, 0.0, is_compared=False))
                continue
            if name not in baseline[kind]:
                raise RequestError(f"the baseline lacks {name!r}; write a new one with --update.")
            before: Value = baseline[kind][name]
            is_mean = kind == "statistical" and isinstance(value, float)
            allowed = tolerance(name, check_set) if is_mean else _exact_tolerance(before)
            findings.append(Finding(kind, name, before, value, allowed))
        gone = [name for name in baseline[kind] if _settings(name) not in common]
        findings += [Finding(kind, name, baseline[kind][name], NONE, 0.0, is_compared=False) for name in gone]
        lost = [name for name in baseline[kind] if name not in quantities and name not in gone]
        if unknown := [name for name in lost if not _is_left_out(name, quantities)]:
            raise RequestError(
                f"the baseline holds {unknown[0]!r}, which is not checked; write a new one with --update."
            )
        findings += [Finding(kind, name, baseline[kind][name], NONE, 0.0) for name in lost]
    return findings


def extended(baseline: Mapping[str, Any], findings: Sequence[Finding]) -> dict[str, Any]:
    """Return a baseline with the quantities that it lacks, as they are here and now; the others stay what they are."""
    content = dict(baseline)
    for finding in findings:
        if finding.baseline == NONE and not finding.is_compared:
            content[finding.kind] = {**content[finding.kind], finding.name: finding.now}
    return content


def _settings(name: str) -> str:
    """Return whose settings a quantity is of: ``later settings`` of ``bn, later settings: masks``; empty for none."""
    return name.partition(": ")[0].partition(", ")[2]


def _exact_tolerance(value: Value) -> float:
    return 0.0 if isinstance(value, int | str) else RELATIVE * max(abs(value), _SMALL)


def _is_left_out(name: str, quantities: Mapping[str, Value]) -> bool:
    """Return whether a quantity is missing because its arm or a fit failed."""
    steps = quantities.get(f"{name.rpartition(': ')[0]}: {FIRST_STEPS}", DONE)
    return steps != DONE or bool(quantities.get(FAILED))
