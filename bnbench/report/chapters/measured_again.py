"""Planes measured again: which evaluations are of a sweep's own fits, and all its measurements in one table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from bnbench.bn_policy import BnPolicy
from bnbench.protocol.datasets import DATASETS
from bnbench.protocol.protocol import FitKey
from bnbench.report.figures.policies import OWN_IMAGES
from bnbench.results import layout
from bnbench.results.evaluations import plane_hash
from bnbench.results.summary import measured_rows
from bnbench.results.sweeps import Sweep

_KEYS = ["arm", "p", "seed"]
_LATER = ["right", "objective"]  # measures that older files lack


def evaluations_of(sweep: Sweep, evaluated: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the evaluations that say something new of this sweep's fits, and how many others its protocol has.

    An evaluation belongs to a fit if it is of the fit's identity and, where the plane is still there, of that very
    plane. What the fits' own summaries hold already, right and J included, is neither. Two planes of one fit of which
    none is there: left out.
    """
    mine = evaluated[evaluated["protocol"] == sweep.protocol.id]
    rows = mine[[*_KEYS, "identity", "plane"]].itertuples(index=False, name=None)
    planes: dict[FitKey, str] = {}
    belongs = [
        _is_of_a_fit(sweep, FitKey(arm, p, seed), identity, plane, planes) for arm, p, seed, identity, plane in rows
    ]
    current = mine[np.array(belongs, dtype=bool)]
    current = current[~current.duplicated([*_KEYS, "split", "images", "policy", "pixels"], keep=False)]
    own, measured = (pd.MultiIndex.from_frame(table[[*_KEYS, "policy"]]) for table in (_whole(sweep), current))
    stale = (mine["pixels"] == "all").sum() - (current["pixels"] == "all").sum()
    return current[~(measured.isin(own) & _on_own_images(sweep, current))], int(stale)


def _whole(sweep: Sweep) -> pd.DataFrame:
    """Return the rows of the fits' own summaries that have every reading."""
    rows = measured_rows(sweep.summaries) if len(sweep.summaries) else sweep.summaries
    return rows.dropna(subset=_LATER) if set(_LATER) <= set(rows) else rows.iloc[:0]


def _on_own_images(sweep: Sweep, evaluated: pd.DataFrame) -> pd.Series:
    """Say which evaluations are on the images that the fits themselves were measured on."""
    own, data = sweep.protocol.measurement, sweep.protocol.data
    available = DATASETS[data.dataset].test_images if own.split == "test" else data.held_out
    if sweep.protocol.content and own.split == "test":  # how many such a set has, whole evaluations alone tell
        available = evaluated.loc[evaluated["split"] == "test", "images"].max()
    return (evaluated["split"] == own.split) & (evaluated["images"] == (own.test_images or available))  # 0: all of them


def _is_of_a_fit(sweep: Sweep, key: FitKey, identity: str, plane: str, planes: dict[FitKey, str]) -> bool:
    """Say whether a plane is that of a fit; ``planes`` keeps the hashes that were computed."""
    path = layout.plane_path(sweep.places.get(key, sweep.folder), replace(key, arm=sweep.full_name(key.arm)))
    if key not in planes and path.exists():
        planes[key] = plane_hash(path)
    return sweep.identities.get(key) == identity and planes.get(key, plane) == plane


def measurements(sweep: Sweep, evaluated: pd.DataFrame, fits: pd.DataFrame) -> pd.DataFrame:
    """Return every measurement of a sweep's fits, over all pixels and over trained ones, under every policy.

    Args:
        sweep: what was read.
        evaluated: what :func:`evaluations_of` returns.
        fits: a row per fit, see :func:`bnbench.report.tables.fits_table`; has the readings of headlines whose files are
            older than they are.

    Returns:
        ``arm, p, seed, on, policy, headline, pixels, black, white, difference, right, objective``.
    """
    values = ["black", "white", "difference", *_LATER]
    columns = [*_KEYS, "on", "policy", "headline", "pixels", *values]
    if sweep.summaries.empty:
        return pd.DataFrame(columns=columns)
    own = pd.concat([measured_rows(sweep.summaries, pixels) for pixels in ("all", "trained")], ignore_index=True)
    own = _with_later(own).assign(on=OWN_IMAGES, headline=own["headline"].astype(bool))
    again = _with_later(evaluated).assign(headline=False)
    others = again["split"].astype(str) + again["images"].map(", {:,} images".format).astype(str)
    again["on"] = others.mask(_on_own_images(sweep, evaluated), OWN_IMAGES) if len(again) else others
    own = _completed(own, again[again["on"] == OWN_IMAGES], fits)
    known = pd.MultiIndex.from_frame(own[[*_KEYS, "on", "policy", "pixels"]])
    again = again[~pd.MultiIndex.from_frame(again[[*_KEYS, "on", "policy", "pixels"]]).isin(known)]
    again = again.assign(order=again["policy"].map(BnPolicy.parse_stored))
    again = again.sort_values(["split", "images", "order"], kind="stable")
    return pd.concat([own[columns], again[columns]] if len(again) else [own[columns]], ignore_index=True)


def _with_later(table: pd.DataFrame) -> pd.DataFrame:
    return table.reindex(columns=[*table.columns.union(pd.Index(_LATER), sort=False)])


def _completed(own: pd.DataFrame, again: pd.DataFrame, fits: pd.DataFrame) -> pd.DataFrame:
    """Fill right and J that older files lack: from the same measurement done again, and of headlines from the fits."""
    key = [*_KEYS, "policy", "pixels"]
    found = own[key].merge(again[[*key, *_LATER]], on=key, how="left").set_axis(own.index)
    own = own.assign(**{name: own[name].fillna(found[name]) for name in _LATER})
    for name in _LATER:
        for pixels, column in (("all", name), ("trained", f"{name}_trained")):
            if column in fits:
                known = own[_KEYS].merge(fits[[*_KEYS, column]], on=_KEYS, how="left").set_axis(own.index)[column]
                lacks = own[name].isna() & own["headline"] & (own["pixels"] == pixels)
                own[name] = own[name].mask(lacks, known)
    return own
