"""Every landscape of a sweep in a form that the page's own script can draw: small, exact enough, deterministic."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from numpy.typing import NDArray

from bnbench.report.arms import arm_order
from bnbench.report.figures.figure3 import ACCURACY_COLOURS, LOSS_COLOURS, Colours, scales_of
from bnbench.report.figures.landscapes import MEASURED, choose_pair
from bnbench.report.figures.style import arm_colours, css_colours
from bnbench.results.joined_fits import rows_of_fits

LEAST_LOSS = 1e-6  # code 0; anything smaller, zero included, is shown as this
STEPS_PER_DECADE = 3640  # 18 decades, up to 1e12; the largest error of a loss is half a step, 0.032 %
ACCURACY_STEPS = 65533  # the largest error of an accuracy is half a step, 0.000008
INFINITE, MISSING = 65534, 65535  # the codes of what is no number

MOST_INLINE = 3_000_000  # letters of pixels that a page holds itself: nearly 300 fits of 30×30
FOLDER = "landscapes"  # beside the page, where the rest lies
_MOST_IN_FILE = 1_000_000
_COLOURS = 256
_THRESHOLDS = 4  # how many the linear scale of the loss shows at least, where losses are as large


def explorer_data(
    landscapes: pd.DataFrame, threshold: float, split: str, start: tuple[float, int] | None = None
) -> dict[str, Any]:
    """Return what the script needs, as JSON holds it.

    A fit is four base64 strings of 16-bit codes (little endian, row by row): 10 kB for 30×30 pixels.

    Args:
        landscapes: a row per pixel, see :data:`bnbench.results.schemas.LANDSCAPE_SCHEMA`; at least one.
        threshold: cross-entropy that white pixels are pushed to.
        split: the images that the ``test_`` columns were measured on.
        start: the (p, seed) that is shown first; None lets :func:`bnbench.report.figures.landscapes.choose_pair` say.
    """
    arms = arm_order(landscapes["arm"].unique())
    variables = css_colours()
    colours = {arm: variables[colour] for arm, colour in arm_colours(arms).items()}
    p, seed = choose_pair(landscapes, start)
    scales = scales_of(landscapes, threshold)
    linear = _linear_scale(landscapes[["test_loss", "train_loss"]].to_numpy(), _ends(scales.loss), threshold)
    masks, fits = _coded_pixels(landscapes)
    return {
        "rows": int(landscapes["row"].max()) + 1,
        "columns": int(landscapes["column"].max()) + 1,
        "threshold": threshold,
        "split": split,
        "arms": [{"name": arm, "colour": colours[arm]} for arm in arms],
        "probabilities": [float(p) for p in sorted(landscapes["p"].unique())],
        "seeds": [int(seed) for seed in sorted(landscapes["seed"].unique())],
        "start": {"p": p, "seed": seed},
        "codes": {
            "leastLoss": LEAST_LOSS,
            "stepsPerDecade": STEPS_PER_DECADE,
            "accuracySteps": ACCURACY_STEPS,
            "infinite": INFINITE,
            "missing": MISSING,
        },
        "scales": {
            "log": _ends(scales.loss),
            "linear": linear,
            "accuracy": _ends(scales.accuracy),
        },
        "colours": {"loss": _colour_table(LOSS_COLOURS), "accuracy": _colour_table(ACCURACY_COLOURS)},
        "masks": masks,
        "fits": fits,
    }


def with_files(data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Take the pixels of a large sweep out of what the page holds, and into files that it loads when it needs them.

    The files are scripts, since a page that was opened from a disk may load nothing else.

    Args:
        data: what :func:`explorer_data` returns; of a large sweep its fits are taken away.

    Returns:
        What stays in the page: all of it where that is little, else ``files`` says for each (p, seed) in which file
        its mask and its fits are. And the files' contents by their names; none where all stays.
    """
    masks, fits = data["masks"], data["fits"]
    if sum(map(len, masks.values())) + sum(len(text) for fit in fits.values() for text in fit) <= MOST_INLINE:
        return data, {}
    of_mask: dict[str, dict[str, list[str]]] = {key: {} for key in masks}
    for name, fit in fits.items():
        p, seed, _ = name.split("|", 2)
        of_mask[f"{p}|{seed}"][name] = fit
    data = {**data, "masks": {}, "fits": {}}
    fits.clear()
    parts: list[list[str]] = [[]]
    size = 0
    for key, mine in of_mask.items():
        more = len(masks[key]) + sum(len(text) for fit in mine.values() for text in fit)
        if parts[-1] and size + more > _MOST_IN_FILE:
            parts.append([])
            size = 0
        parts[-1].append(key)
        size += more
    contents = {}
    for number, keys in enumerate(parts, start=1):
        part: dict[str, dict[str, Any]] = {"masks": {key: masks[key] for key in keys}, "fits": {}}
        for key in keys:
            part["fits"] |= of_mask.pop(key)  # of thousands of fits each is in memory once
        contents[f"{FOLDER}/{number}.js"] = f"takeLandscapes({json.dumps(part)});\n".encode()
    files = {key: number for number, keys in enumerate(parts, start=1) for key in keys}
    return {**data, "files": files}, contents


def loss_codes(losses: NDArray[np.floating[Any]]) -> NDArray[np.uint16]:
    """Return losses as codes on a logarithmic scale, see :data:`STEPS_PER_DECADE`."""
    values = np.asarray(losses, dtype=float)
    usual = np.clip(np.where(np.isnan(values), 1.0, values), LEAST_LOSS, 1e12)
    codes = np.minimum(np.rint(STEPS_PER_DECADE * np.log10(usual / LEAST_LOSS)), INFINITE - 1)
    return _with_gaps(codes, values)


def accuracy_codes(accuracies: NDArray[np.floating[Any]]) -> NDArray[np.uint16]:
    """Return accuracies as codes on a linear scale, see :data:`ACCURACY_STEPS`."""
    values = np.asarray(accuracies, dtype=float)
    usual = np.clip(np.where(np.isfinite(values), values, 0.0), 0.0, 1.0)
    return _with_gaps(np.rint(ACCURACY_STEPS * usual), values)


def _with_gaps(codes: NDArray[np.floating[Any]], values: NDArray[np.floating[Any]]) -> NDArray[np.uint16]:
    codes = np.where(np.isposinf(values), INFINITE, codes)
    return np.where(np.isnan(values), MISSING, codes).astype("<u2")


def _coded_pixels(landscapes: pd.DataFrame) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the mask of each (p, seed), which all arms share, and the four strings of each fit, by their keys.

    No table is sorted: thousands of fits would be in memory twice.
    """
    names = ["row", "column", "black", "trained", *MEASURED]
    columns = {name: landscapes[name].to_numpy() for name in names}
    masks: dict[tuple[float, int], str] = {}
    fits: dict[str, list[str]] = {}
    for (arm, p, seed), places in sorted(rows_of_fits(landscapes).items()):
        rows, across = columns["row"][places], columns["column"][places]
        order = np.lexsort((across, rows))
        pixels = {name: columns[name][places][order] for name in names}
        if (p, seed) not in masks:
            masks[p, seed] = _base64(pixels["black"].astype(np.uint8) + 2 * pixels["trained"].astype(np.uint8))
        fits[f"{p:g}|{seed}|{arm}"] = [_coded(pixels[name], name) for name in MEASURED]
    return {f"{p:g}|{seed}": mask for (p, seed), mask in sorted(masks.items())}, fits  # p as JavaScript writes it


def _coded(values: NDArray[np.floating[Any]], name: str) -> str:
    codes = loss_codes if name.endswith("loss") else accuracy_codes
    return _base64(codes(values))


def _base64(array: NDArray[Any]) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")


def _ends(colours: Colours) -> list[float]:
    """Return both ends of a colour scale."""
    return [_rounded(colours.norm.vmin or 0.0), _rounded(colours.norm.vmax or 1.0)]


def _linear_scale(losses: NDArray[np.floating[Any]], log: list[float], threshold: float) -> list[float]:
    """Return the ends of the linear scale.

    Were its upper end the 99th percentile, as that of the other scale is, a few huge losses would set it, and nothing
    else could be told apart. So it ends at some thresholds, or at the 75th percentile where that is larger, and what
    lies beyond is saturated.
    """
    finite = losses[np.isfinite(losses)]
    usual = np.quantile(finite, 0.75, overwrite_input=True) if finite.size else threshold
    return [log[0], _rounded(min(log[1], max(_THRESHOLDS * threshold, usual)))]


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _colour_table(name: str) -> str:
    """Return red, green and blue of each step of a seaborn colour map."""
    colours = sns.color_palette(name, as_cmap=True)(np.linspace(0, 1, _COLOURS))[:, :3]
    return _base64(np.rint(255 * colours).astype(np.uint8))
