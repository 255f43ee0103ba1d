"""The rungs of ladder.py, and their table: every reading of each rung, its change from the first, and the authors'.

Readings are over trained pixels, as the authors' figure 4 has them, and over those *inside* alone: without the two
rings that are a frame where masks are framed, which is drawn and no random picture. J is read with the threshold that a
rung was trained with, and for its change the first rung is read with that threshold, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from readings import markdown
from rungs import ARMS, FIT, READINGS, Rung, fits_of, read_rung, spread

from bnbench.errors import RequestError
from bnbench.protocol.mask_sizes import frame_of
from bnbench.protocol.profiles import AUTHORS_CODE, PROFILES
from bnbench.protocol.protocol import Grid, Protocol
from bnbench.report.figures.authors import authors_figure4, has_their_images
from bnbench.wording import plain_number, signed

FIRST, LAST = "baseline", "together"
_COLUMNS = [column for reading in READINGS for column in (reading, f"{reading}_change")]
PIXELS = ("trained", "inside")
FEW_IMAGES = int(AUTHORS_CODE["test_images"])


def rungs(base: Protocol) -> list[Rung]:
    """The first rung, one for each knob in which the authors' code differs from it and that changes a fit, and all.

    Raises:
        RequestError: it differs in none.
    """
    now = dict(base.knobs())
    changes = {name: value for name, value in AUTHORS_CODE.items() if name != "test_images" and now[name] != value}
    if not changes:
        theirs = ", ".join(name for name in PROFILES if "authors" not in name)
        raise RequestError(f"--base {base.profile}: it has all of the authors' code; give one of {theirs}.")
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
    """A row per finished fit and set of pixels, and again for each fit that was measured on as few images as theirs.

    Args:
        out: folder of the rungs' folders.
        ladder: which rungs, the first one first.
        grid: arms, one fill probability, and seeds.

    Returns:
        ``rung, images, pixels, arm, seed``, every reading over trained pixels (``pixels`` says whether all of them or
        those inside), and its ``_change`` from the first rung's fit of that arm and seed, which is not a number where
        there is none.
    """
    first, tables = read_rung(out, ladder[0]), []
    for rung, images in measured(ladder):
        read = read_rung(out, rung, images=images if images != _images_of(rung) else None)
        wanted = [(arm, grid.probs[0], seed) for arm in rung.arms for seed in grid.seeds]
        for pixels in PIXELS:
            fits, before = (_readings(one, rung, pixels) for one in (read, first))
            own = fits[fits.index.isin(wanted)]
            changes = (own - before.reindex(own.index)).add_suffix("_change")
            tables.append(own.join(changes).reset_index().assign(rung=rung.name, images=images, pixels=pixels))
    return pd.concat(tables, ignore_index=True)[["rung", "images", "pixels", "arm", "seed", *_COLUMNS]]


def pixels_of(landscapes: pd.DataFrame, mask_size: tuple[int, int], pixels: str) -> pd.DataFrame:
    """All pixels, or those inside: without the rings that a frame has, or would have."""
    if pixels != "inside" or landscapes.empty:
        return landscapes
    frame = frame_of("framed")
    rows, columns = (length - 1 - frame for length in mask_size)
    return landscapes[landscapes["row"].between(frame, rows) & landscapes["column"].between(frame, columns)]


def _readings(landscapes: pd.DataFrame, rung: Rung, pixels: str) -> pd.DataFrame:
    """Every reading of each fit by arm, p and seed, J with the threshold of a rung."""
    fits = fits_of(pixels_of(landscapes, rung.protocol.mask.mask_size, pixels), rung.protocol.training.threshold)
    return fits.set_index(FIT)[list(READINGS)]


def ladder_table(fits: pd.DataFrame, ladder: Sequence[Rung], grid: Grid) -> pd.DataFrame:
    """A row per rung, arm and set of pixels: every reading over seeds, its paired change, and the authors' value.

    Args:
        fits: what :func:`ladder_fits` returns.
        ladder: which rungs, the first one first.
        grid: arms, one fill probability, and seeds.

    Returns:
        ``rung, images, pixels, arm, fits, wanted``; for each reading its mean and ``_sd`` over seeds, and mean and
        deviation of ``_change``, over the ``pairs`` of seeds that both rungs have; ``authors``, the difference of the
        authors' figure 4, and ``distance``, ours less theirs, both of all trained pixels. What is not there is not a
        number.
    """
    theirs = authors_contrast(ladder[0].protocol, grid.probs[0])
    rows = []
    for pixels, (rung, images) in product(PIXELS, measured(ladder)):
        for arm in rung.arms:
            row: dict[str, Any] = {"rung": rung.name, "images": images, "pixels": pixels, "arm": arm}
            is_arm = (fits["rung"] == rung.name) & (fits["arm"] == arm)
            own = fits[is_arm & (fits["images"] == images) & (fits["pixels"] == pixels)]
            pairs = own[f"{READINGS[0]}_change"].count()
            row |= {"fits": len(own), "wanted": len(grid.seeds), "pairs": pairs}
            for column in _COLUMNS:
                row |= {column: own[column].mean(), f"{column}_sd": own[column].std()}
            authors = theirs.get(arm, math.nan) if pixels == "trained" else math.nan
            rows.append({**row, "authors": authors, "distance": row["difference"] - authors})
    return pd.DataFrame(rows)


def authors_contrast(protocol: Protocol, p: float) -> dict[str, float]:
    """The difference of the authors' figure 4 at p, by arm; of other images than theirs there is none."""
    if not has_their_images(protocol):
        return {}
    theirs = authors_figure4()
    return dict(theirs[theirs["p"] == p].set_index("arm")["difference"])


def measured(ladder: Sequence[Rung]) -> list[tuple[Rung, Any]]:
    """Each rung and on how many images it is measured; then those whose planes are measured again on few."""
    again = [(rung, FEW_IMAGES) for rung in ladder if rung.keeps_planes]
    return [(rung, _images_of(rung)) for rung in ladder] + again


def _images_of(rung: Rung) -> Any:
    return rung.protocol.measurement.test_images or "all"


def table_text(table: pd.DataFrame) -> str:
    """The table as Markdown, a part for each set of pixels, with what is missing said above."""
    trained, inside = (table[table["pixels"] == pixels] for pixels in PIXELS)
    inside = inside.drop_duplicates(["rung", "arm"])
    missing = int((trained["wanted"] - trained["fits"]).sum())
    said = f"Unfinished: {missing} of {int(trained['wanted'].sum())} readings are missing.\n\n" if missing else ""
    parts = [
        "All trained pixels:",
        markdown(_lines(trained)),
        "Inside the frame, or where it would be:",
        markdown(_lines(inside)),
    ]
    return said + "\n\n".join(parts) + "\n"


def _lines(table: pd.DataFrame) -> list[list[str]]:
    """Rows of text. How many fits are there stands where some are missing; no change is that of a rung from itself."""
    has_authors, unfinished = bool(table["authors"].notna().any()), bool((table["fits"] < table["wanted"]).any())
    of_contrast = ["contrast", "change", *(["less the authors'"] if has_authors else [])]
    of_fits = ["fits"] if unfinished else []
    lines, usual = [["rung", "arm", *of_fits, *of_contrast, "J", "change", "right", "change"]], table["images"].iloc[0]
    for row in table.to_dict("records"):
        is_first = row["rung"] == FIRST and row["images"] == usual
        cells = [
            ("" if is_first else spread(row[name], row[f"{name}_sd"], signed))
            if name.endswith("_change")
            else spread(row[name], row[f"{name}_sd"], plain_number)
            for name in _COLUMNS
        ]
        if has_authors:
            cells.insert(2, spread(row["distance"], math.nan, signed))
        rung = row["rung"] if row["images"] == usual else f"{row['rung']}, {row['images']} images"
        done = [f"{row['fits']} of {row['wanted']}"] if unfinished else []
        lines.append([rung, row["arm"], *done, *cells])
    return lines
