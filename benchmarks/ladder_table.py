"""The rungs of ladder.py, and their table: every reading of each rung, its change from the first, and the authors'.

Readings are over trained pixels, as the authors' figure 4 has them. J is that of the first rung's threshold on every
rung, so that it can be compared. A frame is part of what is read: it adds pixels that random masks do not have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from readings import markdown
from rungs import ARMS, FIT, READINGS, Rung, fits_of, read_rung

from bnbench.protocol.profiles import AUTHORS_CODE
from bnbench.protocol.protocol import Grid, Protocol
from bnbench.report.figures.authors import authors_figure4, has_their_images
from bnbench.wording import plain_number, signed

FIRST, LAST = "baseline", "together"
FEW_IMAGES = int(AUTHORS_CODE["test_images"])


def rungs(base: Protocol) -> list[Rung]:
    """The first rung, one for each knob in which the authors' code differs from it and that changes a fit, and all."""
    now = dict(base.knobs())
    changes = {name: value for name, value in AUTHORS_CODE.items() if name != "test_images" and now[name] != value}
    single = [(name.replace("_", "-"), {name: value}) for name, value in changes.items()]
    return [
        Rung(
            name,
            base.with_knobs(**own),
            own,
            arms=("bn",) if own.keys() == {"bn_scale"} else ARMS,
            keeps_planes=name in (FIRST, LAST),
        )
        for name, own in [(FIRST, {}), *single, (LAST, changes)]
    ]


def ladder_table(out: Path, ladder: Sequence[Rung], grid: Grid) -> pd.DataFrame:
    """A row per rung and arm: every reading over seeds, its paired change from the first rung, and the authors' value.

    Args:
        out: folder of the rungs' folders.
        ladder: which rungs, the first one first.
        grid: arms, one fill probability, and seeds.

    Returns:
        ``rung, images, arm, fits, wanted``; for each reading its mean and ``_sd`` over seeds, and mean and deviation of
        ``_change``, over the ``pairs`` of seeds that both rungs have; ``authors``, the difference of the authors'
        figure 4, and ``distance``, ours less theirs. What is not there yet is not a number.
    """
    threshold, p = ladder[0].protocol.training.threshold, grid.probs[0]
    read = [(rung, rung.protocol.measurement.test_images or "all", read_rung(out, rung)) for rung in ladder]
    read += [(rung, FEW_IMAGES, read_rung(out, rung, images=FEW_IMAGES)) for rung in ladder if rung.keeps_planes]
    parts = [(rung, images, fits_of(pixels, threshold).set_index(FIT)) for rung, images, pixels in read]
    authors: dict[Any, float] = {}
    if has_their_images(ladder[0].protocol):
        authors = authors_figure4().set_index(["arm", "p"])["difference"].to_dict()
    first, rows = parts[0][2][list(READINGS)], []
    for rung, images, fits in parts:
        for arm in rung.arms:
            own = fits.loc[fits.index.isin([(arm, p, seed) for seed in grid.seeds]), list(READINGS)]
            change = (own - first.reindex(own.index)).dropna()
            row: dict[str, Any] = {"rung": rung.name, "images": images, "arm": arm}
            row |= {"fits": len(own), "wanted": len(grid.seeds), "pairs": len(change)}
            for reading in READINGS:
                row |= {reading: own[reading].mean(), f"{reading}_sd": own[reading].std()}
                row |= {f"{reading}_change": change[reading].mean(), f"{reading}_change_sd": change[reading].std()}
            theirs = authors.get((arm, p), float("nan"))
            rows.append({**row, "authors": theirs, "distance": row["difference"] - theirs})
    return pd.DataFrame(rows)


def table_text(table: pd.DataFrame) -> str:
    """The table as Markdown, with what is missing said above it."""
    of_contrast = ["difference", "change", "less the authors'"]
    lines = [["rung", "images", "arm", "fits", *of_contrast, "J", "change", "right", "change"]]
    for row in table.to_dict("records"):
        cells = [_spread(row, name) for reading in READINGS for name in (reading, f"{reading}_change")]
        cells.insert(2, _number(row["distance"], signed))
        lines.append([row["rung"], f"{row['images']}", row["arm"], f"{row['fits']} of {row['wanted']}", *cells])
    missing = int((table["wanted"] - table["fits"]).sum())
    said = f"Unfinished: {missing} of {int(table['wanted'].sum())} readings are missing.\n\n" if missing else ""
    return f"{said}{markdown(lines)}\n"


def _spread(row: dict[Any, Any], name: str) -> str:
    """A mean, with its sign where it is a change, and the deviation over seeds where there are two."""
    mean = _number(row[name], signed if name.endswith("change") else plain_number)
    return mean if math.isnan(row[f"{name}_sd"]) else f"{mean} ± {row[f'{name}_sd']:.3f}"


def _number(value: float, written: Callable[[float], str]) -> str:
    return "–" if math.isnan(value) else written(value)
