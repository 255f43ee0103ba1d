"""What was run, what it cost, and the command that runs it again."""

from __future__ import annotations

import shlex
from dataclasses import astuple, fields
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pandas as pd

from bnbench.protocol.knob_text import shown_text
from bnbench.protocol.mask_sizes import frame_of
from bnbench.protocol.profiles import PROFILES, changes, folder_name
from bnbench.protocol.protocol import SECTIONS, Grid, Protocol
from bnbench.report.arms import arm_order
from bnbench.report.chapters.standing import Standing
from bnbench.results.sweeps import Sweep
from bnbench.wording import counted, duration


def command(protocol: Protocol, fits: pd.DataFrame, asked: Grid | None = None) -> str:
    """Return the command of the last run, or where nothing says what that was asked for, one for the same fits.

    Args:
        protocol: what was followed.
        fits: a row per fit: ``arm, p, seed``.
        asked: the grid that was asked for, of an unfinished sweep too.
    """
    if asked:
        fits = pd.DataFrame([astuple(key) for key in asked.fits()], columns=["arm", "p", "seed"])
    parts = ["bnbench", "run", "--profile", protocol.profile]
    if not fits.empty:
        parts += [
            "--probs",
            probs_text(fits["p"]),
            "--seeds",
            seeds_text(fits["seed"]),
            "--arms",
            ",".join(arm_order(fits["arm"])),
        ]
    for name, text in changes(protocol).items():
        parts += [f"--{name.replace('_', '-')}", text]
    return shlex.join(parts)


def departures(protocol: Protocol) -> list[tuple[str, str, str, str]]:
    """Say where a protocol departs from ``paper``: knob, what it is, here, there."""
    helps = {knob.name: str(knob.metadata["help"]) for section in SECTIONS.values() for knob in fields(section)}
    found = protocol.differences(PROFILES["paper"]).items()
    return [
        (name.replace("_", " "), helps[name], shown(name, here), shown(name, there)) for name, (here, there) in found
    ]


def shown(name: str, value: Any) -> str:
    """Write a knob's value for reading: √2 needs no 16 digits."""
    return f"{value:.5g}" if isinstance(value, float) else shown_text(name, value)


def probs_text(values: pd.Series) -> str:
    """Write fill probabilities as the command line takes them: a range where they are one."""
    found = sorted({Decimal(str(round(value, 3))) for value in values})
    steps = {after - before for before, after in pairwise(found)}
    if len(found) > 2 and len(steps) == 1:
        return f"{found[0]}:{found[-1]}:{steps.pop()}"
    return ",".join(str(value) for value in found)


def seeds_text(values: pd.Series) -> str:
    """Write seeds as the command line takes them: ``5`` for 1 to 5, else their numbers."""
    found = sorted({int(value) for value in values})
    if found == list(range(1, len(found) + 1)):
        return str(len(found))
    return ",".join(map(str, found)) if len(found) > 1 else f"{found[0]}:{found[0]}:1"


def run_facts(sweep: Sweep, standing: Standing) -> list[tuple[str, str]]:
    """Return what was run, as pairs of a word and its value."""
    protocol, grid, done = sweep.protocol, standing.grid, len(standing.done)
    data, training, measurement = protocol.data, protocol.training, protocol.measurement
    pooled = f", average-pooled by {data.pool}" if data.pool > 1 else ""
    number = f"first {measurement.test_images:,}" if measurement.test_images else "all"
    own = "each with its own minibatch" if training.minibatch == "own" else "all with one minibatch"
    pixels = f"{training.black_pixels} + {training.white_pixels}"
    facts = [
        ("Profile", protocol.id),
        ("Images", f"{protocol.images if protocol.content else data.dataset}{pooled}"),
        ("Masks", masks_text(protocol)),
        ("Training", f"{training.steps:,} steps of {pixels} pixels, {own} of {training.images} images"),
        ("Measured on", f"{number} {measurement.split} images"),
    ]
    if whole := len(grid.fits()):
        factors = ((grid.arms, "arm"), (grid.probs, "p"), (grid.seeds, "seed"))
        counts = " × ".join(counted(len(values), word) for values, word in factors)
        facts.append(("Fits", f"{done if done == whole else f'{done} of {whole}'}: {counts}"))
    facts += [("Copies", note) for note in sweep.notes]
    if done:
        facts.append(("Cost", cost(sweep.provenance)))
    return facts


def masks_text(protocol: Protocol) -> str:
    """Say what masks there are; of framed ones also what is not random and counts all the same."""
    size = " × ".join(map(str, protocol.mask.mask_size))
    if not (edge := frame_of(protocol.mask.mask_kind)):
        return f"{size}, {protocol.mask.mask_kind}"
    rows, columns = protocol.mask.mask_size
    alike = rows * columns - (rows - 2 * edge) * (columns - 2 * edge)
    return (
        f"{size}, {protocol.mask.mask_kind}: {alike:,} of {rows * columns:,} pixels are the same in every mask, and "
        "they are trained and counted as the others are; p is that of the others"
    )


def cost(provenance: pd.DataFrame) -> str:
    """Say what all fits took: on a CPU wall time × threads, which no clock of the cores confirms; else wall time."""
    if "wall_seconds" not in provenance:
        return "not recorded"
    blank = pd.Series("cpu", index=provenance.index)
    on_cpu = provenance.get("device", blank).astype(str).str.startswith("cpu")
    threads = pd.to_numeric(provenance.get("threads", pd.Series(1, index=provenance.index))).fillna(1)
    cores = float((provenance["wall_seconds"] * threads)[on_cpu].sum())
    device = float(provenance["wall_seconds"][~on_cpu].sum())
    texts = [f"{duration(cores)} of wall time × threads"] if on_cpu.any() else []
    texts += [f"{duration(device)} of wall time on devices"] if not on_cpu.all() else []
    return " and ".join(texts)


def commands(sweep: Sweep, fits: pd.DataFrame, wanted: tuple[float, int] | None = None) -> list[str]:
    """Return the commands that run the sweep as it was asked for and write this report, with (p, seed) of figure 3."""
    figure3 = f" --figure3 {wanted[0]:g},{wanted[1]}" if wanted else ""
    protocol = sweep.protocol
    return [command(protocol, fits, sweep.asked), f"bnbench report results/{folder_name(protocol)}{figure3}"]
