"""Say what ``nox -s demo`` will do and about how long on this machine, before it begins.

    python benchmarks/demo_time.py --folder demo --text BN --size 20 --steps 2000 --probs 0.1:0.9:0.2 --seeds 3

A step and a landscape of each are timed by a few pixels, some seconds; what is done already is not counted.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from bnbench.bending.arm_bending import ArmBending
from bnbench.bending.cost import estimated_seconds
from bnbench.bending.files import read_bent
from bnbench.bending.request import BendRequest, asked_protocol
from bnbench.inputs.asked_picture import picture_of
from bnbench.inputs.data import load_data_of
from bnbench.protocol.parsing import parse_probs, parse_seeds
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import Grid
from bnbench.sweep.backends.processes import Processes
from bnbench.sweep.cost import choose_chunk, estimate_seconds
from bnbench.sweep.execution import Execution
from bnbench.sweep.inputs import load_inputs
from bnbench.sweep.plan import plan_sweep
from bnbench.wording import counted, plan_time

_PROGRAMS = 3  # bend, run and report, each of which loads torch or draws
_EACH = 15.0  # seconds of that, on a processor of which nothing else is asked


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("demo"), help="Where the demo's results go.")
@click.option("--text", default="BN")
@click.option("--size", default=20)
@click.option("--steps", default=2_000)
@click.option("--probs", default="0.1:0.9:0.2")
@click.option("--seeds", default="3")
def main(folder: Path, text: str, size: int, steps: int, probs: str, seeds: str) -> None:
    """Print one line."""
    grid = Grid(("plain", "bn"), parse_probs(probs), parse_seeds(seeds))
    seconds = _PROGRAMS * _EACH + bending(folder / "bent", text, size, steps) + sweeping(folder / "results", grid)
    fits = counted(len(grid.fits()), "fit")
    click.echo(
        f"the demo bends a landscape to the letters {text}, runs {fits} of plain and bn to random masks, and draws "
        f"their report: {plan_time(seconds)} on this machine as busy as it is now"
    )


def bending(folder: Path, text: str, size: int, steps: int) -> float:
    """Return the seconds that are left of the picture."""
    name, mask, _ = picture_of(None, text, size, None, invert=False)
    protocol = asked_protocol(PROFILES["picture"], mask, None, steps, None, download=False)
    data = load_data_of(protocol)
    protocol = replace(protocol, content=data.content)
    request = BendRequest(name, mask, protocol, ("plain",), 1, folder)
    return 0.0 if read_bent(request, "plain") else estimated_seconds(ArmBending(request, "plain", data))


def sweeping(folder: Path, grid: Grid) -> float:
    """Return the seconds that are left of the sweep."""
    execution = Execution()
    execution = replace(execution, slots=Processes().slots(execution.devices))
    data = load_inputs(grid, PROFILES["smoke"], execution)
    plan = plan_sweep(folder, replace(PROFILES["smoke"], content=data.content), grid)
    if not plan.to_run:
        return 0.0
    execution = replace(execution, chunk=choose_chunk(plan, execution, data))
    return estimate_seconds(plan, execution, data) or 0.0


if __name__ == "__main__":
    main()
