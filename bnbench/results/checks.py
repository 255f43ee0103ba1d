"""What a whole fit is: it holds what its key and protocol say that it must.

A row for each pixel of the mask that (p, seed) draws, numbers within their ranges, and a summary that follows from the
table. Each check raises a ValueError that says what is wrong.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from bnbench.bn_policy import NO_BN
from bnbench.inputs.masks import Mask, is_trained, mask_of
from bnbench.measures import registry
from bnbench.measures.registry import ALWAYS_STORED
from bnbench.process.reading import check_plain
from bnbench.protocol.identity import identity_of
from bnbench.protocol.protocol import BUILT_IN, NORMALIZED, FitKey, Protocol, check_key
from bnbench.protocol.sections import MaskProtocol
from bnbench.results.course import check_course
from bnbench.results.store import FitResult
from bnbench.results.summary import KEYS, TRAIN

Columns = dict[str, np.ndarray[Any, Any]]
_ROUNDING = 1e-6  # the table has float32, the summary float64
ALWAYS_IN_SUMMARY = (*KEYS, *ALWAYS_STORED)  # columns of every summary; measures that came later may follow
_KEY = {"arm", "p", "seed"}  # stands before each row of the summary, the trace and the provenance as tables
# What a reader takes from the provenance; what must be there, and what may be.
_REQUIRED = {"device": str, "device_name": str, "threads": int, "wall_seconds": float}
_OPTIONAL = {
    **dict.fromkeys(("bnbench", "python", "torch", "numpy", "system", "host", "note"), str),
    **dict.fromkeys(("kernels", "triton", "recorded", "batch"), str),
    **dict.fromkeys(("begun", "started", "finished"), datetime),
    **dict.fromkeys(("chunk", "parts", "fits_at_once"), int),
    **dict.fromkeys(("fit_seconds", "course_seconds", "gflops", "peak_memory_mib"), float),
}


def check_fit(result: FitResult) -> None:
    """Check that a fit is what its key and its protocol say that it must be.

    Raises:
        ValueError: it is not; the message says in what.
        OneColourError: its mask would have one colour, so that there is no such fit.
    """
    key, protocol = result.key, result.protocol
    source: object = result.source  # whatever the file says
    check_key(key)
    if not isinstance(source, str) or (key.arm in BUILT_IN and source):
        raise ValueError("its arm's source is none")
    if result.identity != identity_of(key, protocol, source):
        raise ValueError("its identity is not that of its key and protocol")
    table = _columns(result.landscape)
    _check_table(table, key, protocol)
    _check_summary(_columns(result.summary), table, key.arm, protocol)
    _check_trace(result.trace, protocol.training.steps)
    check_course(result.course, result.summary, protocol.training.steps)
    _check_provenance(result.provenance)


def _check_table(table: Columns, key: FitKey, protocol: Protocol) -> None:
    rows, columns = protocol.mask.mask_size
    if len(table["arm"]) != rows * columns:
        raise ValueError(f"its table has {len(table['arm']):,} rows for a mask of {rows}×{columns} pixels")
    for name, wanted in (("arm", key.arm), ("p", key.p), ("seed", key.seed)):
        if not (table[name] == wanted).all():
            raise ValueError(f"not every row of its table is of {name} {wanted}")
    for name, places in (("row", np.repeat(np.arange(rows), columns)), ("column", np.tile(np.arange(columns), rows))):
        if not np.array_equal(table[name], places):
            raise ValueError(f"its table does not name every pixel once, in reading order: see {name}")
    mask, trained = _masks(key.permille, key.seed, protocol.mask)
    for name, drawn in (("black", mask), ("trained", trained)):
        if not np.array_equal(table[name], drawn.ravel()):
            raise ValueError(f"its pixels that are {name} are not those that p {key.p:g} and seed {key.seed} draw")
    for images in ("test", "train"):
        _check_losses(f"{images}_loss", table[f"{images}_loss"])
        _check_shares(f"{images}_accuracy", table[f"{images}_accuracy"])


@lru_cache(maxsize=64)  # both arms of a pair have one mask
def _masks(permille: int, seed: int, asked: MaskProtocol) -> tuple[Mask, Mask]:
    mask = mask_of(permille / 1000, seed, asked)
    return mask, is_trained(mask)


def _check_summary(summary: Columns, table: Columns, arm: str, protocol: Protocol) -> None:
    if tuple(summary)[: len(ALWAYS_IN_SUMMARY)] != ALWAYS_IN_SUMMARY:
        raise ValueError("its summary is empty or has other columns")
    named = [summary[name].tolist() for name in ("policy", "split", "pixels")]
    if {type(value) for values in named for value in values} != {str} or summary["headline"].dtype != bool:
        raise ValueError("its summary names no policies, splits and pixels")
    rows = list(zip(*named, strict=True))
    if len(set(rows)) < len(rows):
        raise ValueError("its summary has a row twice")
    measured = [name for name in summary if name not in KEYS]
    if not all(name.isidentifier() and summary[name].dtype.kind in "if" for name in measured):
        raise ValueError("its summary holds what is no number")
    numbers = {name: summary[name].astype(float) for name in measured}
    _check_ranges(numbers)
    if not _are_close(numbers["black"] - numbers["white"], numbers["difference"]):
        raise ValueError("a difference of its summary is not that of its accuracies")
    shown = {row[1:]: number for number, row in enumerate(rows) if summary["headline"][number]}
    wanted = {(images, pixels) for images in (protocol.measurement.split, TRAIN) for pixels in ("all", "trained")}
    if (
        shown.keys() != wanted
        or summary["headline"].sum() != len(wanted)
        or {rows[number][0] for number in shown.values()} - _headline_policies(arm, protocol)
    ):
        raise ValueError("its summary lacks its headline")
    for (images, pixels), number in shown.items():
        row = {name: values[number] for name, values in numbers.items()}
        _check_means(
            row, table, "train" if images == TRAIN else "test", table["trained"] if pixels == "trained" else True
        )


def _headline_policies(arm: str, protocol: Protocol) -> set[str]:
    """Return policies that a fit's headline may be kept under; whether an own arm has BN, only its network knows."""
    asked, without = protocol.measurement.bn_statistics, str(NO_BN)
    if arm not in BUILT_IN:
        return {asked, without}
    return {asked} if arm in NORMALIZED else {without}


def _check_means(row: dict[str, float], table: Columns, images: str, counted: Any) -> None:
    """Check that each number of a summary's row follows from the table."""
    for colour, chosen in (("black", table["black"] & counted), ("white", ~table["black"] & counted)):
        for name, measure in ((colour, "accuracy"), (f"{colour}_loss", "loss")):
            mean = table[f"{images}_{measure}"].mean(dtype=float, where=chosen)
            if not _are_close(mean, row[name]):
                raise ValueError(f"its summary says {name} {row[name]:.6g}, its table {mean:.6g}")


def _check_trace(trace: pd.DataFrame, steps: int) -> None:
    if not len(trace.columns):
        return
    if _KEY & set(trace.columns) or not all(kind.kind in "if" for kind in trace.dtypes.tolist()):
        raise ValueError("its trace holds what is no number, or names a fit")
    taken = trace["step"].to_numpy()
    if taken.dtype.kind != "i" or not len(taken) or taken[0] < 0 or taken[-1] > steps or (np.diff(taken) <= 0).any():
        raise ValueError(f"its trace is not of {steps:,} steps in their order")


def _check_provenance(provenance: Any) -> None:
    if type(provenance) is not dict:
        raise ValueError("its provenance is no list of names and values")
    check_plain(provenance)
    if _KEY & provenance.keys() or _has_list(provenance):
        raise ValueError("its provenance holds a list, or names a fit")
    for name, kind in {**_REQUIRED, **_OPTIONAL}.items():
        if name not in provenance and name in _OPTIONAL:
            continue
        if not _is_kind(provenance[name], kind):
            raise ValueError(f"its provenance says {name} {provenance[name]!r}")


def _has_list(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_list(part) for part in value.values())
    return isinstance(value, list)


def _is_kind(value: Any, kind: type) -> bool:
    if kind is datetime:
        try:
            return datetime.fromisoformat(value).tzinfo is not None
        except (TypeError, ValueError):
            return False
    if kind is str:
        return type(value) is str
    return type(value) in (int, kind) and value >= (1 if kind is int else 0)


def _columns(table: pd.DataFrame) -> Columns:
    return {str(name): values.to_numpy() for name, values in table.items()}


def _check_ranges(numbers: Columns) -> None:
    """Check that measures are finite and within their ranges; of one that came later a row may have none."""
    known = [measure for measure in registry.REGISTERED if measure.name in numbers]
    values = np.array([numbers[measure.name] for measure in known])  # (measures, rows)
    low, high, later = (
        np.array(of_all)[:, None]
        for of_all in zip(*((one.low, one.high, one.name not in ALWAYS_STORED) for one in known), strict=True)
    )
    is_right = (np.isfinite(values) & (values >= low) & (values <= high)) | (np.isnan(values) & later)
    for measure in (measure for measure, are_right in zip(known, is_right.all(axis=1), strict=True) if not are_right):
        raise ValueError(f"a {measure.name} of its summary is not between {measure.low:g} and {measure.high:g}")


def _check_losses(name: str, values: np.ndarray[Any, Any]) -> None:
    if not ((values >= 0) & (values < np.inf)).all():
        raise ValueError(f"{name} is negative or not finite")


def _check_shares(name: str, values: np.ndarray[Any, Any]) -> None:
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"{name} is no share between 0 and 1")


def _are_close(here: Any, there: Any) -> bool:
    return bool(np.all(np.abs(here - there) <= _ROUNDING * (1 + np.abs(there))))
