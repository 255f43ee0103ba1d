"""What a bent landscape leaves as tables, written whole and read back: so that a finished one is only drawn anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bnbench.bending.request import BendRequest
from bnbench.errors import RequestError
from bnbench.process.reading import read_file, reason_of
from bnbench.protocol.mask_sizes import size_name
from bnbench.protocol.protocol import Protocol
from bnbench.results import layout
from bnbench.results.folder_protocol import check_no_file_in_the_way, differences_text
from bnbench.results.tables import read_table, write_table

FOLDERS = ("landscapes", "frames", "planes")
VALUES = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
_COLUMNS = ("row", "column", "black", "trained", *VALUES)

Picture = NDArray[np.float64]


@dataclass(frozen=True)
class Bent:
    """One arm's landscape, bent to a picture.

    Attributes:
        arm: which network.
        landscape: a row per pixel, in reading order: ``row, column, black, trained``, and loss and accuracy on
            training and on test images.
        frames: test accuracy on the way, shape (frames, rows, columns); no frame where it was not measured.
        steps: the step of each frame, shape (frames,).
        details: plain values: ``identity``, ``arm``, ``seed``, ``protocol``, ``seconds``, ``threads``, ``device_name``.
    """

    arm: str
    landscape: pd.DataFrame
    frames: NDArray[np.float32]
    steps: NDArray[np.int64]
    details: dict[str, Any]

    def picture(self, name: str) -> Picture:
        """Return one column of the landscape as a picture, shape (rows, columns)."""
        shape = int(self.landscape["row"].max()) + 1, int(self.landscape["column"].max()) + 1
        return self.landscape[name].to_numpy(np.float64).reshape(shape)

    def mean(self, name: str, *, black: bool) -> float:
        """Return the mean of one column over black or white pixels."""
        return float(self.landscape.loc[self.landscape["black"] == black, name].mean())


def check_folder_of_bend(request: BendRequest) -> None:
    """Check that a folder is free for a picture: not there, or with landscapes of this picture and seed alone.

    Raises:
        RequestError: it is no folder, or holds results of ``run`` or the landscape of another picture or seed, whose
            strip and page would be written over.
    """
    check_no_file_in_the_way(request.folder)
    if layout.is_there(request.folder / "protocol.json"):
        raise RequestError(f"{request.folder} holds the results of bnbench run; give another folder with --out.")
    ending = layout.fit_name(request.key("")).lstrip("_")  # the picture's share of black, and the seed
    for path in sorted((request.folder / "landscapes").glob("*.parquet")):
        is_ours = path.stem.endswith(f"_{ending}")
        table = _table(path)
        if not is_ours or not np.array_equal(table.reindex(columns=["black"]), request.mask.reshape(-1, 1)):
            why = _what_differs(request, table)
            raise RequestError(
                f"{request.folder} holds another landscape ({path.name}: {why}); give another folder with --out."
            )


def _what_differs(request: BendRequest, table: pd.DataFrame) -> str:
    """Say in what a stored landscape is not the one that is asked for: picture, seed, protocol, or the arm's file."""
    details = table.attrs.get("bnbench", {})
    try:
        stored = Protocol.from_dict(details["protocol"])
    except (KeyError, TypeError, RequestError):
        return "of which nothing says how it was made"
    found = []
    if not np.array_equal(table.reindex(columns=["black"]), request.mask.reshape(-1, 1)):
        sizes = [size_name(size) for size in (stored.mask.mask_size, request.protocol.mask.mask_size)]
        found.append("another picture" + ("" if len({*sizes}) == 1 else f", {sizes[0]} pixels there, {sizes[1]} here"))
    if details.get("seed") != request.seed:
        found.append(f"seed {details.get('seed')} there, {request.seed} here")
    if stored.hash != (same := replace(request.protocol, mask=stored.mask)).hash:
        found.append(differences_text(stored, same))
    return "; ".join(found) or "another version of the arm's file"


def write_bent(request: BendRequest, bent: Bent) -> None:
    """Write one arm's landscape and its frames, if it has any; the landscape comes last, and says that the fit is done.

    Raises:
        OSError: a file cannot be written.
    """
    tables = {landscape_path(request, bent.arm): bent.landscape}
    if len(bent.frames):
        tables = {frames_path(request, bent.arm): _frames_table(bent), **tables}
    else:
        frames_path(request, bent.arm).unlink(missing_ok=True)  # of an earlier fit, whose landscape was moved away
    for path, table in tables.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        table = table.copy()
        table.attrs = {"bnbench": bent.details}
        layout.write_atomically(path, write_table(table))


def read_bent(request: BendRequest, arm: str) -> Bent | None:
    """Return an arm's landscape if it is done; without frames, where they are asked for, it counts as not done.

    Raises:
        RequestError: the folder holds another picture or protocol, or a file that cannot be read.
    """
    path = landscape_path(request, arm)
    try:
        landscape = _table(path)
    except FileNotFoundError:
        return None
    details = landscape.attrs.get("bnbench", {})
    identity = request.identity(arm)
    if details.get("identity") != identity:
        why = _what_differs(request, landscape)
        raise RequestError(
            f"{request.folder} holds another landscape of {arm} ({why}); give another folder with --out."
        )
    if tuple(landscape.columns) != _COLUMNS or len(landscape) != request.mask.size:
        raise RequestError(f"{path} is no landscape of this picture; move it away, and it is computed anew.")
    steps, frames = _read_frames(request, arm)
    return None if request.animate and not len(steps) else Bent(arm, landscape, frames, steps, details)


def landscape_path(request: BendRequest, arm: str) -> Path:
    """Return where an arm's landscape lies, whether it exists or not."""
    return request.folder / "landscapes" / f"{layout.fit_name(request.key(arm))}.parquet"


def frames_path(request: BendRequest, arm: str) -> Path:
    """Return where an arm's landscapes on the way lie, whether they exist or not."""
    return request.folder / "frames" / f"{layout.fit_name(request.key(arm))}.parquet"


def _read_frames(request: BendRequest, arm: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the steps of an arm's frames and the frames, see :class:`Bent`; none where none were measured."""
    try:
        table = _table(frames_path(request, arm))
    except FileNotFoundError:
        return np.zeros(0, np.int64), np.zeros((0, *request.mask.shape), np.float32)
    steps = table.groupby("step", sort=True).size().index.to_numpy(np.int64)
    return steps, table["test_accuracy"].to_numpy(np.float32).reshape(len(steps), *request.mask.shape)


def _frames_table(bent: Bent) -> pd.DataFrame:
    count, rows, columns = bent.frames.shape
    step, row, column = np.meshgrid(bent.steps, np.arange(rows), np.arange(columns), indexing="ij")
    values = {"step": step.ravel(), "row": row.ravel(), "column": column.ravel()}
    return pd.DataFrame({**values, "test_accuracy": bent.frames.reshape(count * rows * columns)})


def _table(path: Path) -> pd.DataFrame:
    try:
        return read_table(read_file(path))[0]
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged bytes may raise anything in the library that reads them
        raise RequestError(
            f"{path} cannot be read ({reason_of(error)}); move it away, and it is computed anew."
        ) from error
