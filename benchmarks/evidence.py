"""The evidence for the profiles: how each arm's difference depends on steps, images, threshold, rate and pixels.

    python benchmarks/evidence.py [--evidence evidence] [--out docs/figures]

Reads what settling.sh, sensitivity.sh and the search left below evidence/ (held-out images, seeds from 101
on), prints one Markdown table for each and draws two figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.ticker
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnbench.protocol.profiles import title
from bnbench.report.figures.style import DOUBLE, arm_colours, arm_markers, new_drawing, print_style, save
from bnbench.results.summary import headline_rows
from bnbench.results.sweeps import read_sweeps
from bnbench.wording import signed

ARMS = ("plain", "bn")
# The knobs that tell one protocol of the evidence from another, and how a table says each.
_NAMED: dict[str, Callable[[Any], str]] = {
    "black_pixels": "{0} + {0} pixels".format,
    "images": "{} images".format,
    "steps": "{:,} steps".format,
    "threshold": "threshold {:g}".format,
    "learning_rate": "rate {}".format,
}


def read_fits(root: Path) -> pd.DataFrame:
    """A row per fit: its knobs, difference, black and white accuracy, and what it cost."""
    tables = []
    sweeps, broken = read_sweeps(root)
    if broken:
        raise SystemExit(broken[0])
    for sweep in sweeps:
        keys = ["arm", "p", "seed"]
        table = headline_rows(sweep.summaries)[[*keys, "difference", "black", "white"]]
        table = table.merge(sweep.provenance[[*keys, "wall_seconds"]], on=keys)
        knobs = dict(sweep.protocol.knobs())
        names = ("steps", "images", "threshold", "learning_rate", "black_pixels", "mask_size", "split")
        tables.append(table.assign(title=title(sweep.protocol), **{name: str(knobs[name]) for name in names}))
    if not tables:
        raise SystemExit(f"{root} holds no results")
    fits = pd.concat(tables, ignore_index=True)
    return fits.astype({"steps": int, "images": int, "threshold": float})


def markdown(fits: pd.DataFrame) -> str:
    """One row per protocol, named by the knobs in which rows differ: each arm's difference, and what a fit costs."""
    lines = ["| protocol | seeds | plain | bn | plain − bn | s a fit (plain, bn) |", "|---|---|---|---|---|---|"]
    varied = [name for name in _NAMED if fits[name].nunique() > 1]
    for values, group in fits.groupby(["title", *varied], sort=False):
        name = ", ".join(_NAMED[knob](value) for knob, value in zip(varied, values[1:], strict=True))
        cells, means, seconds = [], [], []
        for arm in ARMS:
            own = group[group["arm"] == arm]
            spread = f" ± {own['difference'].std():.3f}" if len(own) > 1 else ""
            cells.append(
                f"{own['difference'].mean():.3f}{spread} ({own['black'].mean():.2f}/{own['white'].mean():.2f})"
            )
            means.append(own["difference"].mean())
            seconds.append(f"{own['wall_seconds'].mean():,.0f}")
        gap = signed(means[0] - means[1])
        lines.append("| " + " | ".join((name, str(group["seed"].nunique()), *cells, gap, ", ".join(seconds))) + " |")
    return "\n".join(lines)


def draw_settling(fits: pd.DataFrame) -> Figure:
    """Each arm's difference against the length of training, every point a fit with a whole schedule of its own."""
    masks = sorted(fits["mask_size"].unique(), key=len)
    figure = new_drawing(DOUBLE * len(masks) / 2, DOUBLE / 3)
    for axes, mask in zip(figure.subplots(1, len(masks), squeeze=False)[0], masks, strict=True):
        own = fits[fits["mask_size"] == mask]
        _lines(axes, own)
        rows, columns = mask.strip("()").split(", ")
        axes.set_title(f"{rows}×{columns} masks")
        axes.set_xlabel("training steps")
        axes.set_ylabel("black − white accuracy")
    return figure


def draw_sensitivity(fits: pd.DataFrame) -> Figure:
    """The same against the images in a pixel's minibatch, a panel for each length and threshold."""
    cells = sorted({(threshold, steps) for threshold, steps in zip(fits["threshold"], fits["steps"], strict=True)})
    figure = new_drawing(DOUBLE * len(cells) / 4, DOUBLE / 3)
    panels = figure.subplots(1, len(cells), sharey=True, squeeze=False)[0]
    for axes, (threshold, steps) in zip(panels, cells, strict=True):
        own = fits[(fits["threshold"] == threshold) & (fits["steps"] == steps)]
        _lines(axes, own, "images")
        axes.set_title(f"threshold {threshold:g}, {steps:,} steps")
        axes.set_xlabel("images a pixel sees")
    panels[0].set_ylabel("black − white accuracy")
    return figure


def _lines(axes: Axes, fits: pd.DataFrame, x: str = "steps") -> None:
    colours, markers = arm_colours(ARMS), arm_markers(ARMS)
    for arm in ARMS:
        own = fits[fits["arm"] == arm]
        means = own.groupby(x)["difference"].mean()
        axes.plot(means.index, means, color=colours[arm], marker=markers[arm], label=arm)
        sns.scatterplot(own, x=x, y="difference", color=colours[arm], alpha=0.45, s=8, ax=axes, legend=False)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(fits[x].unique()))
    axes.xaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.set_ylim(0, 1.08 * max(fits["difference"].max(), axes.get_ylim()[1]))
    axes.set_ylabel("")
    axes.legend()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evidence", type=Path, default=Path("evidence"))
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for name, draw in (("settling", draw_settling), ("sensitivity", draw_sensitivity), ("search", None)):
        if not (asked.evidence / name).exists():
            continue
        fits = read_fits(asked.evidence / name).sort_values(["mask_size", "threshold", "images", "steps"])
        print(f"\n{name}\n\n{markdown(fits)}")
        if draw is not None and (draw is draw_settling or fits["images"].nunique() > 1):
            with print_style():
                save(draw(fits), asked.out, name, ["svg"])


if __name__ == "__main__":
    main()
