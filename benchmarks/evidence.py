"""The evidence for the profiles: how each arm's readings depend on steps, images, threshold, rate and pixels.

    python benchmarks/evidence.py [--evidence evidence] [--out docs/figures]

Reads what settling.sh, sensitivity.sh and the search left below evidence/ (held-out images, seeds from 101
on), prints one Markdown table for each and draws two figures. Tables and figures are over trained pixels.
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
from bnbench.results.summary import headline_measures
from bnbench.results.sweeps import read_sweeps
from bnbench.wording import counted, signed

ARMS = ("plain", "bn")
_READ = ("difference", "black", "white", "objective", "right")
_AGAINST_STEPS = {"difference": "black − white accuracy", "objective": "J, nats", "right": "share of right pixels"}
# The knobs that tell one protocol of the evidence from another, and how a table says each.
_NAMED: dict[str, Callable[[Any], str]] = {
    "black_pixels": "{0} + {0} pixels".format,
    "images": "{} images".format,
    "steps": "{:,} steps".format,
    "threshold": "threshold {:g}".format,
    "learning_rate": "rate {}".format,
}


def read_fits(*roots: Path) -> pd.DataFrame:
    """A row per fit: its knobs, and over trained pixels difference, both accuracies, J (``objective``) and right."""
    tables = []
    for root in roots:
        sweeps, broken = read_sweeps(root)
        if broken:
            raise SystemExit(broken[0])
        for sweep in sweeps:
            measured = headline_measures(sweep.summaries, sweep.landscapes, sweep.protocol)
            table = measured[["arm", "p", "seed"]].assign(**{one: measured[f"{one}_trained"] for one in _READ})
            knobs = dict(sweep.protocol.knobs())
            names = ("steps", "images", "threshold", "learning_rate", "black_pixels", "mask_size")
            tables.append(table.assign(title=title(sweep.protocol), **{name: str(knobs[name]) for name in names}))
        if not sweeps:
            raise SystemExit(f"{root} holds no results")
    fits = pd.concat(tables, ignore_index=True)
    return fits.astype({"steps": int, "images": int, "threshold": float})


def markdown(fits: pd.DataFrame) -> str:
    """One row per protocol, named by the knobs in which rows differ: each arm's difference, and the gap."""
    lines = ["| protocol | seeds | plain | bn | plain − bn |", "|---|---|---|---|---|"]
    varied = [name for name in _NAMED if fits[name].nunique() > 1]
    for values, group in fits.groupby(["title", *varied], sort=False):
        name = ", ".join(_NAMED[knob](value) for knob, value in zip(varied, values[1:], strict=True))
        cells, means = [], []
        for arm in ARMS:
            own = group[group["arm"] == arm]
            spread = f" ± {own['difference'].std():.3f}" if len(own) > 1 else ""
            cells.append(
                f"{own['difference'].mean():.3f}{spread} ({own['black'].mean():.2f}/{own['white'].mean():.2f})"
            )
            means.append(own["difference"].mean())
        row = (name, str(group["seed"].nunique()), *cells, signed(means[0] - means[1]))
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def draw_settling(fits: pd.DataFrame) -> Figure:
    """Each arm's readings against the length of training, every point a fit with a whole schedule of its own."""
    masks = sorted(fits["mask_size"].unique(), key=len)
    figure = new_drawing(DOUBLE, DOUBLE / 3.2 * len(masks))
    for row, mask in zip(figure.subplots(len(masks), len(_AGAINST_STEPS), squeeze=False), masks, strict=True):
        own = fits[fits["mask_size"] == mask]
        rows, columns = mask.strip("()").split(", ")
        seeds = own["seed"].nunique()
        for axes, (reading, name) in zip(row, _AGAINST_STEPS.items(), strict=True):
            _lines(axes, own, reading=reading)
            axes.set_title(f"{rows}×{columns}, {counted(seeds, 'mask')}")
            axes.set_xlabel("training steps, thousands")
            axes.set_ylabel(name)
        row[0].legend()
    return figure


def draw_sensitivity(fits: pd.DataFrame) -> Figure:
    """The same against the images in a pixel's minibatch, a panel for each length and threshold."""
    cells = sorted({(threshold, steps) for threshold, steps in zip(fits["threshold"], fits["steps"], strict=True)})
    figure = new_drawing(DOUBLE * len(cells) / 4, DOUBLE / 3)
    panels = figure.subplots(1, len(cells), sharey=True, squeeze=False)[0]
    for axes, (threshold, steps) in zip(panels, cells, strict=True):
        own = fits[(fits["threshold"] == threshold) & (fits["steps"] == steps)]
        _lines(axes, own, "images")
        axes.legend()
        axes.set_title(f"threshold {threshold:g}, {steps:,} steps")
        axes.set_xlabel("images a pixel sees")
    panels[0].set_ylabel("black − white accuracy")
    return figure


def _lines(axes: Axes, fits: pd.DataFrame, x: str = "steps", reading: str = "difference") -> None:
    colours, markers = arm_colours(ARMS), arm_markers(ARMS)
    for arm in ARMS:
        own = fits[fits["arm"] == arm]
        means = own.groupby(x)[reading].mean()
        axes.plot(means.index, means, color=colours[arm], marker=markers[arm], label=arm)
        sns.scatterplot(own, x=x, y=reading, color=colours[arm], alpha=0.45, s=8, ax=axes, legend=False)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(fits[x].unique()))
    unit = 1000 if x == "steps" else 1
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / unit:g}")
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    if reading == "difference":
        axes.set_ylim(0, 1.08 * max(fits["difference"].max(), axes.get_ylim()[1]))
    elif reading == "right":
        axes.set_ylim(0.5, 1.02)
    axes.set_ylabel("")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evidence", type=Path, default=Path("evidence"))
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for name, draw in (("settling", draw_settling), ("sensitivity", draw_sensitivity), ("search", None)):
        if not (asked.evidence / name).exists():
            continue
        folders = [asked.evidence / one for one in (name, f"{name}-gpu") if (asked.evidence / one).exists()]
        fits = read_fits(*folders).sort_values(["mask_size", "threshold", "images", "steps"])
        print(f"\n{name}\n\n{markdown(fits)}")
        if draw is not None and (draw is draw_settling or fits["images"].nunique() > 1):
            with print_style():
                save(draw(fits), asked.out, name, ["svg"])


if __name__ == "__main__":
    main()
