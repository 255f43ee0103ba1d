"""The rungs of ladder.py, and their table: every reading of each rung, its change from the first, and the authors'.

Readings are over trained pixels, as the authors' figure 4 has them. J is that of the first rung's threshold on every
rung, so that it can be compared. A frame is part of what is read: it adds pixels that random masks do not have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from readings import markdown
from rungs import ARMS, FIT, READINGS, Rung, fits_of, read_rung, spread

from bnbench.errors import RequestError
from bnbench.protocol.profiles import AUTHORS_CODE, PROFILES
from bnbench.protocol.protocol import Grid, Protocol
from bnbench.report.figures.authors import authors_figure4, has_their_images
from bnbench.wording import plain_number, signed

FIRST, LAST = "baseline", "together"
_COLUMNS = [column for reading in READINGS for column in (reading, f"{reading}_change")]
FEW_IMAGES = int(AUTHORS_CODE["test_images"])


def rungs(base: Protocol) -> list[Rung]:
    """The first rung, one for each knob in which the authors' code differs from it and that changes a fit, and all.

    Raises:
        RequestError: it differs in none.
    """
    now = dict(base.knobs())
    changes = {name: value for name, value in AUTHORS_CODE.items() if name != "test_images" and now[name] != value}
    if not changes:
        theirs = " or ".join(name for name in PROFILES if "authors" not in name)
        raise RequestError(f"--base {base.profile}: it has all of the authors' code; give {theirs}.")
    single = [(name.replace("_", "-"), {name: value}) for name, value in changes.items()]
    return [
        Rung(
            name,
            base.with_knobs(**own),
            own,
            arms=("bn",) if own.keys() == {"bn_scale"} else ARMS,
            keeps_planes=name in (FIRST, LAST) and base.measurement.test_images != FEW_IMAGES,
        )
        for name, own in [(FIRST, {}), *single, (LAST, changes)]
    ]


def ladder_fits(out: Path, ladder: Sequence[Rung], grid: Grid) -> pd.DataFrame:
    """A row per finished fit, and again for each that was measured on as few images as the authors measure.

    Args:
        out: folder of the rungs' folders.
        ladder: which rungs, the first one first.
        grid: arms, one fill probability, and seeds.

    Returns:
        ``rung, images, arm, seed``, every reading, and its ``_change`` from the first rung's fit of that arm and seed,
        which is not a number where there is none.
    """
    threshold, p = ladder[0].protocol.training.threshold, grid.probs[0]
    first, tables = fits_of(read_rung(out, ladder[0]), threshold).set_index(FIT)[list(READINGS)], []
    for rung, images in _measured(ladder):
        again = images if images != _images_of(rung) else None
        fits = fits_of(read_rung(out, rung, images=again), threshold).set_index(FIT)
        wanted = [(arm, p, seed) for arm in rung.arms for seed in grid.seeds]
        own = fits.loc[fits.index.isin(wanted), list(READINGS)]
        changes = (own - first.reindex(own.index)).add_suffix("_change")
        tables.append(own.join(changes).reset_index().assign(rung=rung.name, images=images))
    return pd.concat(tables, ignore_index=True)[["rung", "images", "arm", "seed", *_COLUMNS]]


def ladder_table(fits: pd.DataFrame, ladder: Sequence[Rung], grid: Grid) -> pd.DataFrame:
    """A row per rung and arm: every reading over seeds, its paired change from the first rung, and the authors' value.

    Args:
        fits: what :func:`ladder_fits` returns.
        ladder: which rungs, the first one first.
        grid: arms, one fill probability, and seeds.

    Returns:
        ``rung, images, arm, fits, wanted``; for each reading its mean and ``_sd`` over seeds, and mean and deviation of
        ``_change``, over the ``pairs`` of seeds that both rungs have; ``authors``, the difference of the authors'
        figure 4, and ``distance``, ours less theirs. What is not there yet is not a number.
    """
    theirs = authors_contrast(ladder[0].protocol, grid.probs[0])
    rows = []
    for rung, images in _measured(ladder):
        for arm in rung.arms:
            own = fits[(fits["rung"] == rung.name) & (fits["images"] == images) & (fits["arm"] == arm)]
            row: dict[str, Any] = {"rung": rung.name, "images": images, "arm": arm}
            pairs = own[f"{READINGS[0]}_change"].count()
            row |= {"fits": len(own), "wanted": len(grid.seeds), "pairs": pairs}
            for column in _COLUMNS:
                row |= {column: own[column].mean(), f"{column}_sd": own[column].std()}
            authors = theirs.get(arm, math.nan)
            rows.append({**row, "authors": authors, "distance": row["difference"] - authors})
    return pd.DataFrame(rows)


def authors_contrast(protocol: Protocol, p: float) -> dict[str, float]:
    """The difference of the authors' figure 4 at p, by arm; of other images than theirs there is none."""
    if not has_their_images(protocol):
        return {}
    theirs = authors_figure4()
    return dict(theirs[theirs["p"] == p].set_index("arm")["difference"])


def _measured(ladder: Sequence[Rung]) -> list[tuple[Rung, Any]]:
    """Each rung and on how many images it is measured; then those whose planes are measured again on few."""
    again = [(rung, FEW_IMAGES) for rung in ladder if rung.keeps_planes]
    return [(rung, _images_of(rung)) for rung in ladder] + again


def _images_of(rung: Rung) -> Any:
    return rung.protocol.measurement.test_images or "all"


def table_text(table: pd.DataFrame) -> str:
    """The table as Markdown, with what is missing said above it."""
    of_contrast = ["difference", "change", "less the authors'"]
    lines = [["rung", "images", "arm", "fits", *of_contrast, "J", "change", "right", "change"]]
    for row in table.to_dict("records"):
        cells = [
            spread(row[name], row[f"{name}_sd"], signed if name.endswith("_change") else plain_number)
            for name in _COLUMNS
        ]
        cells.insert(2, spread(row["distance"], math.nan, signed))
        lines.append([row["rung"], f"{row['images']}", row["arm"], f"{row['fits']} of {row['wanted']}", *cells])
    missing = int((table["wanted"] - table["fits"]).sum())
    said = f"Unfinished: {missing} of {int(table['wanted'].sum())} readings are missing.\n\n" if missing else ""
    return f"{said}{markdown(lines)}\n"
