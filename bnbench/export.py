"""Stored fits for other programs: the course of each as a run of TensorBoard, with the same bytes each time."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bnbench.errors import RequestError
from bnbench.measures import registry
from bnbench.process.reading import read_file, reason_of
from bnbench.process.writers import remove_strays_of
from bnbench.results import layout
from bnbench.results.folders import group_sweeps, refuse_results_folder, scan
from bnbench.results.store import FitResult
from bnbench.results.summary import headline_rows

# Columns of a trace, and what TensorBoard calls them: what stands before the stroke is a group of charts.
_TRACED = {
    "black_loss": "training loss/black",
    "white_loss": "training loss/white",
    "black_accuracy": "training accuracy/black",
    "white_accuracy": "training accuracy/white",
    "clamped": "training/white pixels past the threshold",
    "gradient_norm": "training/gradient norm",
    "scale": "training/scale",
    "learning_rate": "training/learning rate",
}
_FILE = "events.out.tfevents.0.bnbench"  # TensorBoard knows its files by the first part of the name
_VERSION = "brain.Event:2"  # what its readers expect in front


@dataclass
class Exported:
    """What was written.

    Attributes:
        runs: a folder for each fit.
        broken: a sentence for each file or folder that could not be read.
        notes: a sentence on fits that were found more than once.
    """

    runs: list[Path] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def export_tensorboard(results: Path, folder: Path) -> Exported:
    """Write every finished fit at or below a folder as a run of TensorBoard: ``FOLDER/PROTOCOL/FIT``.

    A run has the losses, accuracies and the learning rate of the fit's trace, and every measure of its landscape, over
    all pixels and over trained ones, at the steps of ``--measure-at`` and at the last. Another call writes the same
    bytes, and adds the fits that were finished since.

    Args:
        results: a results folder, or one above several; it stays as it is.
        folder: where runs go.

    Raises:
        RequestError: TensorBoard is not installed, or ``folder`` is one of results or cannot be written.
        StoreError: there is no results folder.
    """
    try:
        import tensorboard.summary.writer.record_writer  # noqa: F401  # says now whether the package is missing
    except ImportError as error:
        raise RequestError(
            "--tensorboard needs the package tensorboard; pip install 'bnbench[tensorboard]' installs it."
        ) from error
    refuse_results_folder("--tensorboard", folder, results, "runs/mine")
    groups, broken = group_sweeps(results)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(
            f"--tensorboard {folder} cannot be made ({reason_of(error)}); give a folder that you may write to."
        ) from error
    exported = Exported(broken=broken)
    for group in groups:
        found = scan(group, lambda result: (result.key, _events(result)))
        exported.broken += found.broken
        exported.notes += found.notes
        for key, events in sorted(found.fits.values()):
            run = folder / group.protocol.id / layout.fit_name(key)
            remove_strays_of([run / _FILE])  # TensorBoard would read one
            try:
                _write(run / _FILE, events)
            except OSError as error:
                reason = error.strerror or error
                raise RequestError(
                    f"--tensorboard {folder} cannot be written ({reason}); give a folder that you may write to."
                ) from error
            exported.runs.append(run)
    return exported


def _write(path: Path, content: bytes) -> None:
    """Write a file unless it is there as it is: a TensorBoard that watches it has nothing to read again."""
    try:
        if read_file(path) == content:
            return
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    layout.write_atomically(path, content)


def _events(result: FitResult) -> bytes:
    """Return a fit as TensorBoard's file of events, in the order of its steps."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    steps = result.protocol.training.steps
    seconds = float(result.provenance["wall_seconds"])
    start = _began(result.provenance)
    file = io.BytesIO()
    writer = RecordWriter(file)
    writer.write(Event(wall_time=start, file_version=_VERSION).SerializeToString())
    for step, values in sorted([*_traced(result.trace), *_measured(result, steps)], key=lambda row: row[0]):
        known = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items() if math.isfinite(value)]
        event = Event(wall_time=start + seconds * step / steps, step=step, summary=Summary(value=known))
        writer.write(event.SerializeToString())
    return file.getvalue()


def _traced(trace: pd.DataFrame) -> Iterator[tuple[int, dict[str, float]]]:
    for row in trace.to_dict("records"):
        yield int(row["step"]), {tag: float(row[name]) for name, tag in _TRACED.items() if name in row}


def _measured(result: FitResult, steps: int) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield the measures of the landscape at each step where they were taken; of an earlier fit, at its last."""
    rows = result.course.to_dict("records")
    if not rows:
        last = pd.concat([headline_rows(result.summary, pixels) for pixels in ("all", "trained")])
        rows = last.assign(step=steps).to_dict("records")
    names = [measure.name for measure in registry.REGISTERED]
    for row in rows:
        yield int(row["step"]), {f"{row['pixels']} pixels/{name}": float(row[name]) for name in names if name in row}


def _began(provenance: dict[str, Any]) -> float:
    """Return when a fit was begun, seconds since 1970; 0 of one that does not say."""
    text = provenance.get("begun") or provenance.get("started")
    return pd.Timestamp(text).timestamp() if text else 0.0
