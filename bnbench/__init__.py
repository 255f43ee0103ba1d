"""bnbench: how easily is a loss landscape bent to a picture, and how much harder with batch normalization?

The public names below load on first use, so that importing the package stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnbench.batch_norm import BatchNorm
    from bnbench.data import load_data
    from bnbench.images import Images
    from bnbench.landscape import Landscape, measure_landscape
    from bnbench.masks import draw_mask, is_trained, picture_to_mask
    from bnbench.mpo.fit import fit
    from bnbench.mpo.objective import objective
    from bnbench.mpo.plane import Plane
    from bnbench.planes import load_plane
    from bnbench.profiles import PROFILES
    from bnbench.protocol import Protocol
    from bnbench.report import build_report
    from bnbench.sweeps import load

_HOMES = {
    "BatchNorm": "bnbench.batch_norm",
    "Images": "bnbench.images",
    "Landscape": "bnbench.landscape",
    "PROFILES": "bnbench.profiles",
    "Plane": "bnbench.mpo.plane",
    "Protocol": "bnbench.protocol",
    "build_report": "bnbench.report",
    "draw_mask": "bnbench.masks",
    "fit": "bnbench.mpo.fit",
    "is_trained": "bnbench.masks",
    "load": "bnbench.sweeps",
    "load_data": "bnbench.data",
    "load_plane": "bnbench.planes",
    "measure_landscape": "bnbench.landscape",
    "objective": "bnbench.mpo.objective",
    "picture_to_mask": "bnbench.masks",
}

__all__ = [
    "PROFILES",
    "BatchNorm",
    "Images",
    "Landscape",
    "Plane",
    "Protocol",
    "build_report",
    "draw_mask",
    "fit",
    "is_trained",
    "load",
    "load_data",
    "load_plane",
    "measure_landscape",
    "objective",
    "picture_to_mask",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bnbench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
