"""The rungs of ladder.py, and their table: every reading of each rung, its change from the first, and the authors'.

Readings are over trained pixels, as the authors' figure 4 has them. J is that of the first rung's threshold on every
rung, so that it can be compared. A frame is part of what is read: it adds pixels that random masks do not have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from readings import markdown

from bnbench.bn_policy import NO_BN
from bnbench.errors import RequestError
from bnbench.measures.measure import Pixels
from bnbench.measures.registry import REGISTERED
from bnbench.protocol.profiles import AUTHORS_CODE
from bnbench.protocol.protocol import Grid, Protocol, knob_text
from bnbench.report.figures.authors import authors_figure4, has_their_images
from bnbench.results import layout
from bnbench.results.evaluations import read_evaluated_landscapes
from bnbench.results.sweeps import read_sweep
from bnbench.wording import plain_number, signed

ARMS = ("plain", "bn")
FIRST, LAST = "baseline", "together"
FEW_IMAGES = int(AUTHORS_CODE["test_images"])
READINGS = ("difference", "objective", "right")  # J and all else with the threshold of the first rung
_FIT = ["arm", "p", "seed"]
_OF_A_FIT = {measure.name: measure.of_pixels for measure in REGISTERED if measure.name in READINGS}


@dataclass(frozen=True)
class Rung:
    """One step of the ladder: its name, its protocol, and the knobs in which it differs from the first rung.

    ``arms`` are those that these knobs can change: plain has no BN scale, so its fits would be those of the first.
    """

    name: str
    protocol: Protocol
    changes: dict[str, Any]
    arms: tuple[str, ...] = ARMS

    @property
    def keeps_planes(self) -> bool:
        """Whether its planes are measured again on few images."""
        return self.name in (FIRST, LAST)

    def __str__(self) -> str:
        changed = ", ".join(f"{name.replace('_', ' ')} {knob_text(name, to)}" for name, to in self.changes.items())
        return f"{self.name}: {changed or self.protocol.profile}"


def rungs(base: Protocol) -> list[Rung]:
    """The first rung, one for each knob in which the authors' code differs from it and that changes a fit, and all."""
    base = base.with_knobs(split="held-out")
    now = dict(base.knobs())
    changes = {name: value for name, value in AUTHORS_CODE.items() if name != "test_images" and now[name] != value}
    single = [(name.replace("_", "-"), {name: value}) for name, value in changes.items()]
    return [
        Rung(name, base.with_knobs(**own), own, ("bn",) if own.keys() == {"bn_scale"} else ARMS)
        for name, own in [(FIRST, {}), *single, (LAST, changes)]
    ]


def fits_of(landscapes: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Every reading of each fit over its trained pixels, from a row per pixel with ``loss`` and ``accuracy``."""
    rows = []
    for (arm, p, seed), fit in landscapes.groupby(_FIT):
        black, trained = (fit[name].to_numpy(bool) for name in ("black", "trained"))
        loss, accuracy = (fit[name].to_numpy(float) for name in ("loss", "accuracy"))
        pixels = Pixels(black, trained, loss, accuracy, threshold)
        found = {name: of_pixels(pixels) for name, of_pixels in _OF_A_FIT.items() if of_pixels}
        rows.append({"arm": arm, "p": p, "seed": seed, **found})
    return pd.DataFrame(rows, columns=[*_FIT, *_OF_A_FIT])


def read_rung(out: Path, rung: Rung, *, few: bool = False) -> pd.DataFrame:
    """The pixels of a rung's finished fits, or of those of its planes that were measured on few images.

    Raises:
        RequestError: the folder holds another protocol, or a file that cannot be read.
    """
    folder = out / rung.name
    if not layout.fit_paths(folder):
        return pd.DataFrame(columns=_FIT)
    sweep = read_sweep(folder)
    if sweep.broken:
        raise RequestError(sweep.broken[0])
    if other := sweep.protocol.differences(rung.protocol):
        raise RequestError(f"--out {out}: {folder} holds fits of another {', '.join(other)}; give another folder.")
    if few:
        found = read_evaluated_landscapes(layout.evaluations_folder(folder))
        policies = [str(NO_BN), rung.protocol.measurement.bn_statistics]
        asked = (found["images"] == FEW_IMAGES) & found["policy"].isin(policies)
        return found[asked & found["identity"].isin(sweep.identities.values())]
    return sweep.landscapes.rename(columns={"test_loss": "loss", "test_accuracy": "accuracy"})


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
    read += [(rung, FEW_IMAGES, read_rung(out, rung, few=True)) for rung in ladder if rung.keeps_planes]
    parts = [
        (rung, images, fits_of(pixels, threshold).set_index(["arm", "p", "seed"])) for rung, images, pixels in read
    ]
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
