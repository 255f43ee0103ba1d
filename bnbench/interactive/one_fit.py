"""One fit of a sweep, as a notebook looks at it."""

from __future__ import annotations

import base64
import io
import math
from html import escape

import pandas as pd

from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.wording import readings_words

_RESOLUTION = 100  # pixels per inch in a notebook
_SHOWN = ("black", "test_loss", "test_accuracy")


class FittedLandscape:
    """What a finished fit came to; a notebook shows its mask, its loss and its accuracy.

    Attributes:
        arm: kind of network.
        p: fill probability of the mask.
        seed: replicate.
        measures: every measure of the fit by its name, such as ``difference``: the fit's row of
            :attr:`SweepResult.fits`.
        landscape: a row per pixel, the columns of :data:`bnbench.results.schemas.LANDSCAPE_SCHEMA`: what
            :func:`bnbench.plot.landscape` takes.
    """

    def __init__(self, key: FitKey, protocol: Protocol, measures: pd.Series, landscape: pd.DataFrame) -> None:
        self.arm, self.p, self.seed = key.arm, key.p, key.seed
        self.measures: pd.Series = measures
        self.landscape: pd.DataFrame = landscape
        self._key, self._protocol = key, protocol

    def __repr__(self) -> str:
        return f"<FittedLandscape {self._sentence()}>"

    def _repr_html_(self) -> str:
        from bnbench import plot
        from bnbench.report.figures.style import new_drawing, print_style

        drawn = io.BytesIO()
        with print_style():
            drawing = new_drawing(7.5, 2.4)
            for axes, value in zip(drawing.subplots(1, len(_SHOWN)), _SHOWN, strict=True):
                plot.landscape(self.landscape, axes, value=value, threshold=self._protocol.training.threshold)
            drawing.savefig(drawn, format="png", dpi=_RESOLUTION)
        said, image = escape(self._sentence()), base64.b64encode(drawn.getvalue()).decode()
        return f'<p>{said}.</p><img alt="Mask, loss and accuracy of {said}" src="data:image/png;base64,{image}">'

    def _sentence(self) -> str:
        columns = {f"{name}_trained": name for name in ("black", "white", "right", "objective")}
        known = {name: float(self.measures.get(column, math.nan)) for column, name in columns.items()}
        return f"{self._key}: {readings_words(known)} over trained pixels"
