"""What was run, what it cost, the commands that run it again, and what must be at hand for them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields, replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pandas as pd

from bnbench.protocol.arm_names import names_words
from bnbench.protocol.datasets import DATASETS, OWN
from bnbench.protocol.knob_text import shown_text
from bnbench.protocol.mask_sizes import frame_of
from bnbench.protocol.picture_text import picture_name
from bnbench.protocol.profiles import PROFILES, changes, folder_name
from bnbench.protocol.protocol import SECTIONS, Grid, Protocol, is_own_arm
from bnbench.report.arms import arm_order
from bnbench.report.chapters.standing import Standing, whole_grid
from bnbench.results.sweeps import Sweep
from bnbench.wording import counted, duration

# Options of a run that change what it computes or leaves; others are of the machine that it ran on.
_REPEATED = ("data_folder", "download", "chunk", "threads", "keep_planes", "measure_at", "out")


def command(
    protocol: Protocol, fits: pd.DataFrame, asked: Grid | None = None, options: Mapping[str, Any] | None = None
) -> str:
    """Return the command of the last run, or where nothing says what that was asked for, one for the same fits.

    Args:
        protocol: what was followed.
        fits: a row per fit: ``arm, p, seed``.
        asked: the grid that was asked for, of an unfinished sweep too.
        options: what else it was asked for, see :func:`bnbench.results.asked.read_options`.
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
            ",".join(asked.arms if asked else arm_order(fits["arm"])),
        ]
    changed: dict[str, Any] = dict(changes(protocol))
    given = dict(options or {})
    if changed.get("dataset") == OWN and "data_folder" in given:
        del changed["dataset"]
        changed["data"] = str(given.pop("data_folder"))
    changed |= {name: given[name] for name in _REPEATED if given.get(name) not in (None, False)}
    for name, value in changed.items():
        parts += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
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
    if sweep.full_names:
        facts.append(("Own arms", names_words({arm: name for name, arm in sweep.full_names.items()})))
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


def commands(
    sweep: Sweep, fits: pd.DataFrame, wanted: tuple[float, int] | None = None, arms: Sequence[str] = ()
) -> list[str]:
    """Return the commands that run the sweep as it was asked for and write this report.

    Where fits are there that the last run was not asked for, the command asks for the whole grid.

    Args:
        sweep: what was read.
        fits: a row per fit: ``arm, p, seed``.
        wanted: (p, seed) of figure 3, where they were asked for.
        arms: the two arms to compare, likewise.
    """
    protocol, options = sweep.protocol, sweep.options
    folder = str(options.get("out", f"results/{folder_name(protocol)}"))
    shown = ["--figure3", f"{wanted[0]:g},{wanted[1]}"] if wanted else []
    shown += ["--arms", ",".join(map(sweep.full_name, arms))] if arms else []
    fits = fits.assign(arm=fits["arm"].map(sweep.full_name))
    asked = sweep.asked
    if asked and not sweep.identities.keys() <= set(asked.fits()):
        whole = whole_grid(sweep)
        asked = replace(whole, arms=tuple(dict.fromkeys((*asked.arms, *whole.arms))))
    asked = asked and replace(asked, arms=tuple(map(sweep.full_name, asked.arms)))
    return [command(protocol, fits, asked, options), shlex.join(["bnbench", "report", folder, *shown])]


def needs(sweep: Sweep) -> list[str]:
    """Say what else must be at hand to run the sweep again: files of own arms, pictures and images; a sentence each."""
    protocol, of_file = sweep.protocol, dict[str, list[str]]()
    asked = sweep.asked.arms if sweep.asked else ()
    arms = [*sweep.sources, *map(sweep.full_name, [*asked, *(failure.key.arm for failure in sweep.failures)])]
    for arm in filter(is_own_arm, arm_order(arms)):
        of_file.setdefault(arm.partition(":")[0], []).append(arm)
    said = [_file_words(module, mine, sweep.sources) for module, mine in of_file.items()]
    if protocol.mask.picture:
        name = picture_name(protocol.mask.picture)
        said.append(f"The picture {name} is in the command itself, pixel by pixel: its file is not needed.")
    dataset, digest = protocol.data.dataset, f" (digest {protocol.content})" if protocol.content else ""
    if dataset == OWN:
        said.append(
            f"The images are one's own{digest}: --data names their folder or file, which must hold the same images as "
            "then: fits on others are of another protocol."
        )
    elif DATASETS[dataset].torchvision:
        said.append(
            f"The images of {dataset}{digest} do not come with bnbench: --data-folder says where they lie, or "
            "--download fetches them."
        )
    return said


def _file_words(module: str, arms: Sequence[str], sources: Mapping[str, str]) -> str:
    """Say which file holds some arms, the hash that its fits have, and where it must lie."""
    file = f"{module.replace('.', '/')}.py"
    known = sorted({sources[arm].partition("-")[0] for arm in arms if sources.get(arm)})
    digest = f" (its SHA-256 begins with {' or '.join(known)})" if known else ""
    return (
        f"{', '.join(arms)}: the file {file}{digest} must be found from the folder in which the command is run, or "
        "from PYTHONPATH. A folder takes fits of one version of it."
    )
