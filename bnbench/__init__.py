"""bnbench: how easily is a loss landscape bent to a picture, and is it harder with batch normalization?

The public names below load on first use, so that importing the package stays fast.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bnbench.process.loading import timed_loading

if TYPE_CHECKING:
    from bnbench import plot
    from bnbench.arms.networks import plain_network, start_as_plain
    from bnbench.compared import gaps
    from bnbench.inputs.data import load_data
    from bnbench.inputs.masks import draw_mask, is_trained, picture_to_mask
    from bnbench.interactive.bend import bend
    from bnbench.interactive.bent_result import BendResult
    from bnbench.interactive.one_fit import FittedLandscape
    from bnbench.interactive.result import SweepResult
    from bnbench.interactive.run import run
    from bnbench.interactive.sizes import PicturesResult, SizesResult
    from bnbench.mpo.batch_norm import BatchNorm
    from bnbench.mpo.ensemble import Ensemble, measure_ensemble
    from bnbench.mpo.images import Images
    from bnbench.mpo.landscape import Landscape, measure_landscape
    from bnbench.mpo.objective import objective
    from bnbench.mpo.plane import Plane
    from bnbench.mpo.whole_fit import fit
    from bnbench.protocol.profiles import PROFILES
    from bnbench.protocol.protocol import Protocol
    from bnbench.report import build_report
    from bnbench.results.planes import load_plane
    from bnbench.results.sweeps import load
    from bnbench.sweep.backends.dask_backend import Dask
    from bnbench.sweep.backends.inline import Inline
    from bnbench.sweep.backends.processes import Processes

_HOMES = {
    "BatchNorm": "bnbench.mpo.batch_norm",
    "Ensemble": "bnbench.mpo.ensemble",
    "BendResult": "bnbench.interactive.bent_result",
    "Dask": "bnbench.sweep.backends.dask_backend",
    "FittedLandscape": "bnbench.interactive.one_fit",
    "Images": "bnbench.mpo.images",
    "Inline": "bnbench.sweep.backends.inline",
    "Landscape": "bnbench.mpo.landscape",
    "PROFILES": "bnbench.protocol.profiles",
    "PicturesResult": "bnbench.interactive.sizes",
    "Plane": "bnbench.mpo.plane",
    "Processes": "bnbench.sweep.backends.processes",
    "Protocol": "bnbench.protocol.protocol",
    "SizesResult": "bnbench.interactive.sizes",
    "SweepResult": "bnbench.interactive.result",
    "bend": "bnbench.interactive.bend",
    "build_report": "bnbench.report",
    "draw_mask": "bnbench.inputs.masks",
    "fit": "bnbench.mpo.whole_fit",
    "gaps": "bnbench.compared",
    "is_trained": "bnbench.inputs.masks",
    "load": "bnbench.results.sweeps",
    "load_data": "bnbench.inputs.data",
    "load_plane": "bnbench.results.planes",
    "measure_ensemble": "bnbench.mpo.ensemble",
    "measure_landscape": "bnbench.mpo.landscape",
    "objective": "bnbench.mpo.objective",
    "picture_to_mask": "bnbench.inputs.masks",
    "plain_network": "bnbench.arms.networks",
    "run": "bnbench.interactive.run",
    "start_as_plain": "bnbench.arms.networks",
}

# Functions whose refusals are written for the command, and the command's options that their arguments call otherwise.
_REFUSE_AS_THE_COMMAND: dict[str, dict[str, str]] = {
    "build_report": {"format": "formats"},
    "load": {},
    "load_data": {"data_folder": "folder", "profile": "profile"},
    "load_plane": {"arms": "arm"},
}

__all__ = [
    "PROFILES",
    "BatchNorm",
    "BendResult",
    "Dask",
    "Ensemble",
    "FittedLandscape",
    "Images",
    "Inline",
    "Landscape",
    "PicturesResult",
    "Plane",
    "Processes",
    "Protocol",
    "SizesResult",
    "SweepResult",
    "bend",
    "build_report",
    "draw_mask",
    "fit",
    "gaps",
    "is_trained",
    "load",
    "load_data",
    "load_plane",
    "measure_ensemble",
    "measure_landscape",
    "objective",
    "picture_to_mask",
    "plain_network",
    "plot",
    "run",
    "start_as_plain",
]


def __getattr__(name: str) -> Any:
    if name == "plot":  # a module of functions, which loads matplotlib
        return import_module("bnbench.plot")
    if name not in _HOMES:
        raise AttributeError(f"module 'bnbench' has no attribute {name!r}")
    with timed_loading():
        found = getattr(import_module(_HOMES[name]), name)
    if name in _REFUSE_AS_THE_COMMAND:
        globals()[name] = found = _naming_arguments(name, found)
    return found


def _naming_arguments(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a public function that names its own arguments where it refuses, in place of the command's options."""

    @wraps(function)
    def called(*given: Any, **named: Any) -> Any:
        from bnbench.interactive.naming import errors_name_arguments, names_of

        with errors_name_arguments(names_of(function, **_REFUSE_AS_THE_COMMAND[name])):
            return function(*given, **named)

    called.__module__ = __name__  # pickled as the public function that it is
    return called


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
