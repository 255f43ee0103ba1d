"""A landscape that was bent to a picture, as a notebook looks at it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path

import pandas as pd

from bnbench.bending.bend import measure_ensembles, write_pictures
from bnbench.bending.files import Bent
from bnbench.bending.request import BendRequest
from bnbench.bending.strip import ACCURACY, draw_strip
from bnbench.inputs.data import DataSet
from bnbench.inputs.masks import Mask
from bnbench.interactive.naming import errors_name_arguments, names_of
from bnbench.interactive.values import folder_of
from bnbench.mpo.ensemble import Ensemble
from bnbench.protocol.protocol import Protocol
from bnbench.report.figures.style import print_style
from bnbench.wording import plain_number

_RESOLUTION = 100  # pixels per inch of the strip in a notebook


class BendResult:
    """What each arm's landscape came to.

    Attributes:
        folder: where landscapes and planes lie, absolute.
        mask: the picture, true where black, shape (rows, columns).
        protocol: what was followed.
    """

    def __init__(self, request: BendRequest, data: DataSet, bents: list[Bent], note: Callable[[str], None]) -> None:
        self.folder: Path = request.folder
        self.mask: Mask = request.mask
        self.protocol: Protocol = replace(request.protocol, content=data.content)
        self._request, self._data, self._bents, self._note = request, data, bents, note

    @property
    def accuracy(self) -> pd.DataFrame:
        """Return a row per arm, ``arm, black, white, difference``, mean test accuracies over pixels of a colour."""
        rows = [(bent.arm, *(bent.mean(ACCURACY, black=black) for black in (True, False))) for bent in self._bents]
        table = pd.DataFrame(rows, columns=["arm", "black", "white"])
        return table.assign(difference=table["black"] - table["white"])

    @property
    def landscape(self) -> pd.DataFrame:
        """Return a row per pixel of each arm, in reading order.

        The columns are ``arm, row, column, black, trained, train_loss, test_loss, train_accuracy, test_accuracy``.
        """
        return pd.concat(
            [bent.landscape.assign(arm=bent.arm)[["arm", *bent.landscape]] for bent in self._bents], ignore_index=True
        )

    def ensembles(self) -> dict[str, Ensemble]:
        """Measure how well the black pixels of each arm classify together.

        Returns:
            Each arm with its ensemble, which has the accuracy of 1, 2, 5, 10 and all black pixels averaged.

        Raises:
            StoreError: a plane is no longer in the folder, or is damaged.
        """
        return measure_ensembles(self._request, self._data)

    def save(self, folder: str | Path | None = None) -> list[Path]:
        """Draw the strip, the animation if the landscape was measured on the way, and the page.

        Args:
            folder: where to; by default where the landscapes are.

        Returns:
            The files that were written.

        Raises:
            RequestError: the folder is no path, or cannot be written.
        """
        with errors_name_arguments(names_of(BendResult.save, out="folder")):
            place = folder_of(folder, "folder") or self.folder
            return write_pictures(replace(self._request, folder=place), self._bents, self._note)

    def __repr__(self) -> str:
        rows, columns = self.mask.shape
        return f"<BendResult {self._request.name}, {rows}×{columns}: {'; '.join(self._sentences())}; {self.folder}>"

    def _repr_html_(self) -> str:
        drawn = io.BytesIO()
        with print_style():
            protocol = self.protocol
            strip = draw_strip(self.mask, self._bents, protocol.training.threshold, protocol.measurement.split)
            strip.savefig(drawn, format="png", dpi=_RESOLUTION)
        name, said = escape(self._request.name), escape("; ".join(self._sentences()))
        image = base64.b64encode(drawn.getvalue()).decode()
        return f'<p>{name}: {said}.</p><img alt="{name}: {said}" src="data:image/png;base64,{image}">'

    def _sentences(self) -> list[str]:
        return [
            f"{arm}: accuracy {plain_number(black)} on black pixels, {plain_number(white)} on white ones"
            for arm, black, white in self.accuracy[["arm", "black", "white"]].itertuples(index=False)
        ]
