"""A page on which one can look at every pixel of a landscape: one file that opens offline."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.colors import LogNorm, to_hex

from bnbench.bending.arm_bending import FRAME_IMAGES
from bnbench.bending.files import Bent
from bnbench.bending.request import BendRequest
from bnbench.bending.strip import ACCURACY, quantities, scale_of
from bnbench.protocol.arm_names import names_words, short_names
from bnbench.protocol.profiles import title
from bnbench.wording import duration, plain_number

_HERE = Path(__file__).parent
_COLOURS = 64  # of a scale
_DIGITS = 4  # of a value


def page(request: BendRequest, bents: Sequence[Bent], animation: bytes | None) -> str:
    """Return the page's text.

    Args:
        request: what was asked.
        bents: one for each arm.
        animation: a GIF, which goes into the page; None for none.
    """
    rows, columns = request.mask.shape
    names = short_names(bent.arm for bent in bents)
    called = f" {said}." if (said := names_words(names)) else ""
    split = request.protocol.measurement.split
    environment = Environment(
        loader=FileSystemLoader([_HERE, _HERE.parent / "report" / "page"]),  # with the head and colours of a report
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        name=request.name,
        about=f"{rows}×{columns} pixels, {int(request.mask.sum()):,} of them black; "
        f"{title(request.protocol)}; seed {request.seed}.{called}",
        rows=[_row(bent, names[bent.arm]) for bent in bents],
        split=split,
        frame_images=FRAME_IMAGES,
        animation=Markup(f"data:image/gif;base64,{base64.b64encode(animation).decode()}") if animation else None,
        data=Markup(json.dumps(_data(request, bents, split)).replace("<", "\\u003c")),
    )


def _row(bent: Bent, name: str) -> list[str]:
    black, white = (bent.mean(ACCURACY, black=colour) for colour in (True, False))
    numbers = [plain_number(value) for value in (black, white, black - white)]
    return [name, *numbers, duration(bent.details["seconds"])]


def _data(request: BendRequest, bents: Sequence[Bent], split: str) -> dict[str, Any]:
    """Return what the page's script draws: the mask, each arm's values in reading order, and the scales."""
    shown, names = quantities(split), short_names(bent.arm for bent in bents)
    scales = {quantity: scale_of(quantity, bents, request.protocol.training.threshold) for quantity in shown}
    return {
        "rows": request.mask.shape[0],
        "columns": request.mask.shape[1],
        "mask": request.mask.ravel().astype(int).tolist(),
        "quantities": [
            {
                "name": quantity.name,
                "title": quantity.title.removesuffix(", log"),
                "low": scale.norm.vmin,
                "high": scale.norm.vmax,
                "log": isinstance(scale.norm, LogNorm),
                "colours": [to_hex(scale.map(share)) for share in np.linspace(0, 1, _COLOURS)],
            }
            for quantity, scale in scales.items()
        ],
        "arms": [
            {"name": names[bent.arm], "values": {quantity.name: _values(bent, quantity.name) for quantity in shown}}
            for bent in bents
        ],
    }


def _values(bent: Bent, name: str) -> list[float | None]:
    """Return one column, of few digits; what is not finite is null, which JSON can say."""
    return [float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None for value in bent.landscape[name]]
