"""Every landscape of a sweep in a form that the page's own script can draw: small, exact enough, deterministic."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from numpy.typing import NDArray

from bnbench.report.arms import arm_order
from bnbench.report.figures.figure3 import ACCURACY_COLOURS, LOSS_COLOURS, OUTER
from bnbench.report.figures.landscapes import MEASURED, choose_pair
from bnbench.report.figures.style import arm_colours, css_colours

LEAST_LOSS = 1e-6  # code 0; anything smaller, zero included, is shown as this
STEPS_PER_DECADE = 3640  # 18 decades, up to 1e12; the largest error of a loss is half a step, 0.032 %
ACCURACY_STEPS = 65533  # the largest error of an accuracy is half a step, 0.000008
INFINITE, MISSING = 65534, 65535  # the codes of what is no number

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
    arms = arm_order(landscapes["arm"])
    variables = css_colours()
    colours = {arm: variables[colour] for arm, colour in arm_colours(arms).items()}
    ordered = landscapes.sort_values(["arm", "p", "seed", "row", "column"], kind="stable")
    fits = ordered.groupby(["arm", "p", "seed"])
    masks = ordered.drop_duplicates(["p", "seed", "row", "column"]).groupby(["p", "seed"])  # all arms share a mask
    p, seed = choose_pair(landscapes, start)
    losses, accuracies = (ordered[[f"test_{name}", f"train_{name}"]].to_numpy() for name in ("loss", "accuracy"))
    return {
        "rows": int(ordered["row"].max()) + 1,
        "columns": int(ordered["column"].max()) + 1,
        "threshold": threshold,
        "split": split,
        "arms": [{"name": arm, "colour": colours[arm]} for arm in arms],
        "probabilities": [float(p) for p in sorted(ordered["p"].unique())],
        "seeds": [int(seed) for seed in sorted(ordered["seed"].unique())],
        "start": {"p": p, "seed": seed},
        "codes": {
            "leastLoss": LEAST_LOSS,
            "stepsPerDecade": STEPS_PER_DECADE,
            "accuracySteps": ACCURACY_STEPS,
            "infinite": INFINITE,
            "missing": MISSING,
        },
        "scales": {
            "log": _loss_scale(losses, threshold),
            "linear": _linear_scale(losses, threshold),
            "accuracy": _accuracy_scale(accuracies),
        },
        "colours": {"loss": _colour_table(LOSS_COLOURS), "accuracy": _colour_table(ACCURACY_COLOURS)},
        "masks": {_key(fit): _mask(fit) for _, fit in masks},
        "fits": {
            f"{_key(fit)}|{fit['arm'].iloc[0]}": [_coded(fit[name], name) for name in MEASURED] for _, fit in fits
        },
    }


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


def _key(fit: pd.DataFrame) -> str:
    """Return ``0.5|1`` for p and seed, with p as JavaScript writes it."""
    return f"{fit['p'].iloc[0]:g}|{fit['seed'].iloc[0]}"


def _coded(values: pd.Series, name: str) -> str:
    codes = loss_codes if name.endswith("loss") else accuracy_codes
    return _base64(codes(values.to_numpy(dtype=float)))


def _mask(fit: pd.DataFrame) -> str:
    """Return a byte per pixel: 1 if black, plus 2 if trained."""
    return _base64(fit["black"].to_numpy(dtype=np.uint8) + 2 * fit["trained"].to_numpy(dtype=np.uint8))


def _base64(array: NDArray[Any]) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")


def _loss_scale(losses: NDArray[np.floating[Any]], threshold: float) -> list[float]:
    """Return both ends of the colour scale: one for all fits, so that a colour keeps its meaning from mask to mask."""
    usual = losses[np.isfinite(losses) & (losses > 0)]
    low, high = np.quantile(usual, [OUTER, 1 - OUTER]) if usual.size else (threshold, threshold)
    return [_rounded(min(low, 0.9 * threshold)), _rounded(max(high, 1.1 * threshold))]


def _linear_scale(losses: NDArray[np.floating[Any]], threshold: float) -> list[float]:
    """Return the ends of the linear scale.

    Were its upper end the 99th percentile, as that of the other scale is, a few huge losses would set it, and nothing
    else could be told apart. So it ends at some thresholds, or at the 75th percentile where that is larger, and what
    lies beyond is saturated.
    """
    low, most = _loss_scale(losses, threshold)
    finite = losses[np.isfinite(losses)]
    usual = np.quantile(finite, 0.75) if finite.size else threshold
    return [low, _rounded(min(most, max(_THRESHOLDS * threshold, usual)))]


def _accuracy_scale(accuracies: NDArray[np.floating[Any]]) -> list[float]:
    finite = accuracies[np.isfinite(accuracies)]
    return [0.0, _rounded(np.ceil(20 * max(finite.max(), 0.1)) / 20 if finite.size else 1.0)]


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _colour_table(name: str) -> str:
    """Return red, green and blue of each step of a seaborn colour map."""
    colours = sns.color_palette(name, as_cmap=True)(np.linspace(0, 1, _COLOURS))[:, :3]
    return _base64(np.rint(255 * colours).astype(np.uint8))
