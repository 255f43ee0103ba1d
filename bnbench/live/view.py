"""What the browser is told: how every sweep below a folder stands, and pictures of finished landscapes."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pandas as pd

from bnbench.protocol.arm_names import names_words, short_key
from bnbench.protocol.protocol import Protocol
from bnbench.results.fits import read_member
from bnbench.results.store import FitResult, StoreError
from bnbench.sweep.finished import Known
from bnbench.sweep.status import FitStatus, SweepStatus, read_statuses
from bnbench.sweep.status_words import counts, pace, progress_words

PICTURES = ("mask", "accuracy", "loss")
_AT_MOST_EVERY = 1.0  # seconds between two looks at the folder, however many windows ask
_KEPT = 4_000  # pictures, of a few kilobytes each


class View:
    """Looks at the sweeps below a folder whenever it is asked, and reads what is finished once.

    Its methods may be called from several threads.

    Args:
        root: a results folder, or one above several; it may be empty, or come later.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: Known = {}
        self._places: dict[str, tuple[Path, Protocol]] = {}  # by the digest of a fit's numbers
        self._pictures: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._looked, self._said = -_AT_MOST_EVERY, b""
        self._one_at_a_time = threading.Lock()

    def status(self) -> bytes:
        """Return how every sweep stands, as JSON; a second's old answer is given again."""
        with self._one_at_a_time:
            if time.monotonic() - self._looked >= _AT_MOST_EVERY:
                self._said = json.dumps(self._look()).encode()
                self._looked = time.monotonic()
            return self._said

    def picture(self, kind: str, digest: str) -> bytes | None:
        """Return a picture of a finished fit as a PNG, one of its pixels for each of the plane.

        Args:
            kind: one of :data:`PICTURES`.
            digest: of the fit's numbers, as :meth:`status` names it.

        Returns:
            None where no such fit was found at the last look, or where it is gone since.
        """
        with self._one_at_a_time:  # matplotlib is imported here, and pyarrow reads
            if (kind, digest) not in self._pictures:
                if digest not in self._places or kind not in PICTURES:
                    return None
                path, protocol = self._places[digest]
                try:
                    result = read_member(path, protocol)
                except (FileNotFoundError, StoreError):
                    return None
                self._pictures[kind, digest] = _drawn(result, kind)
                if len(self._pictures) > _KEPT:
                    self._pictures.popitem(last=False)
            return self._pictures[kind, digest]

    def _look(self) -> dict[str, Any]:
        try:
            sweeps, broken = read_statuses(self.root, self._known)
        except StoreError as error:  # nothing there yet
            return {"sweeps": [], "broken": [], "note": str(error)}
        except OSError as error:  # a disk that is out of reach for a moment
            return {"sweeps": [], "broken": [str(error)], "note": ""}
        paths = {fit.content: place[0] for place, fit in self._known.items()}
        self._places = {fit.content: (paths[fit.content], sweep.protocol) for sweep in sweeps for fit in sweep.finished}
        return {"sweeps": [_sweep(sweep) for sweep in sweeps], "broken": broken, "note": ""}


def _sweep(sweep: SweepStatus) -> dict[str, Any]:
    digests, names = {fit.key: fit.content for fit in sweep.finished}, sweep.names
    return {
        "name": sweep.protocol.id,
        "folders": [str(folder) for folder in sweep.folders],
        "counts": "; ".join(filter(None, [counts(sweep), names_words(names)])),
        "pace": pace(sweep),
        "threshold": sweep.protocol.training.threshold,
        "split": sweep.protocol.measurement.split,
        "size": list(sweep.protocol.mask.mask_size),
        "fits": [_fit(fit, names, digests.get(fit.key, ""), sweep.time) for fit in sweep.fits],
        "broken": [*sweep.notes, *sweep.broken],
    }


def _fit(fit: FitStatus, names: dict[str, str], digest: str, now: float) -> dict[str, Any]:
    told: dict[str, Any] = {**short_key(fit.key, names).__dict__, "kind": fit.kind, "digest": digest, "words": ""}
    if fit.state == "running":
        told["words"] = progress_words(fit.progress, now).removeprefix(", ")
    if fit.progress:
        told |= {"step": fit.progress.step, "steps": fit.progress.steps, "trace": fit.progress.trace}
    if fit.failure:
        told["words"] = str(fit.failure)
    return told


def _drawn(result: FitResult, kind: str) -> bytes:
    """Draw a landscape in the report's colours, on a scale that is the same for all fits of a protocol."""
    from bnbench.report.figures.figure3 import picture_of, pixels_as_png
    from bnbench.report.figures.scales import MASK_COLOURS, accuracy_scale, loss_scale

    threshold = result.protocol.training.threshold
    if kind == "mask":
        return pixels_as_png(picture_of(result.landscape, "black"), MASK_COLOURS)
    picture = picture_of(result.landscape, f"test_{kind}")
    if kind == "accuracy":
        return pixels_as_png(picture, accuracy_scale(pd.Series([0.0, 1.0])))
    return pixels_as_png(picture, loss_scale(pd.Series([threshold / 10, threshold * 4]), threshold))
