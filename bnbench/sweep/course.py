"""The course of a fit: its landscape measured at steps of its training, which goes on as if nobody had looked."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from bnbench.arms.foreign_errors import first_line
from bnbench.inputs.data import DataSet
from bnbench.inputs.masks import Mask
from bnbench.measures import registry
from bnbench.mpo.plane import Plane
from bnbench.process.surroundings import put_back, read_settings
from bnbench.protocol.measured_steps import MeasuredSteps
from bnbench.protocol.protocol import Protocol
from bnbench.results.summary import headline_rows
from bnbench.sweep.devices import prepare_process
from bnbench.sweep.execution import FitStoppedError
from bnbench.sweep.interrupts import is_worker_process
from bnbench.sweep.measure import headline_policy, measured_landscape, summary_rows


class Course:
    """Every measure of a fit's pixels at the steps that were asked for, on the images that its protocol measures on.

    Args:
        asked: which steps; None for none.
        steps: of the fit.

    Attributes:
        rows: a row for all pixels and one for the trained ones at each step: ``step``, ``pixels``, the measures.
        seconds: what measuring took.
        note: the first step that could not be measured, and why; empty where all could.
    """

    def __init__(self, asked: MeasuredSteps | None, steps: int) -> None:
        self.due = asked.of(steps)[:-1] if asked else ()  # the last is measured anyway, as the fit's landscape
        self.is_asked = asked is not None
        self.rows: list[dict[str, Any]] = []
        self.seconds = 0.0
        self.note = ""
        self._failed: list[int] = []

    def is_due(self, step: int) -> bool:
        """Return whether a fit that has taken so many steps is to be measured, and has not been."""
        return step in self.due and all(row["step"] != step for row in self.rows)

    def measure(
        self,
        step: int,
        plane: Plane,
        masks: tuple[Mask, Mask],
        data: DataSet,
        protocol: Protocol,
        *,
        threads: int,
        is_stopped: Callable[[], bool],
    ) -> None:
        """Measure the plane as it is, under the headline's BN policy; what a fit's next step depends on stays as it is.

        The settings of the process are those of the measurement at the end, and afterwards those of before, unless
        other fits share the process, which have the same. What goes wrong costs this step's rows and leaves a note:
        whether the fit can go on is for the fit to find out.

        Args:
            step: how many steps the fit has taken.
            plane: as they have left it.
            masks: True where black, and where trained, both of shape (rows, columns).
            data: on the plane's device.
            protocol: images, BN statistics, origin.
            threads: processor threads of a fit.
            is_stopped: asked again and again; where it says so, nothing is measured.
        """
        start = time.perf_counter()
        # In a process that fits share, a neighbour may be drawing its first weights from the global random numbers.
        is_shared = is_worker_process() and threading.current_thread() is not threading.main_thread()
        before = {} if is_shared else read_settings()

        def stop_here() -> None:
            if is_stopped():
                raise FitStoppedError

        try:
            prepare_process(threads)  # whatever it is trained in, it is measured in float32
            policy = headline_policy(plane, protocol)
            found = measured_landscape(plane, data.measured, policy, data, protocol, before_part=stop_here)
            rows = summary_rows(found, *masks, policy=policy, split="", threshold=protocol.training.threshold)
            self.rows += [course_row(step, row) for row in rows]
        except FitStoppedError:
            pass  # half a landscape is none: the fit that goes on from its checkpoint measures this step anew
        except Exception as error:  # a measure that fails halfway through a fit may well do at its end
            self._failed.append(step)
            self.note = self.note or f"its landscape could not be measured at step {step:,} ({first_line(error)})"
        finally:
            put_back(before)
            self.seconds += time.perf_counter() - start

    def missed(self, step: int) -> list[int]:
        """Return the steps that are asked for and that a fit which has taken so many passed without being asked.

        A step that could not be measured is none of them.
        """
        there = {*self._failed, *(row["step"] for row in self.rows)}
        return [due for due in self.due if due < step and due not in there]

    def table(self, steps: int, summary: pd.DataFrame) -> pd.DataFrame:
        """Return the course of a finished fit, its last rows those of its summary; empty where none was asked for.

        Args:
            steps: of the fit.
            summary: its summary, see :class:`bnbench.results.store.FitResult`.
        """
        if not self.rows and not self.is_asked:
            return pd.DataFrame()
        last = [headline_rows(summary, pixels).iloc[0].to_dict() for pixels in ("all", "trained")]
        return pd.DataFrame([*self.rows, *(course_row(steps, row) for row in last)])

    def state_dict(self) -> dict[str, Any]:
        """Return all that :meth:`load_state_dict` needs to go on bit for bit."""
        return {"rows": self.rows, "seconds": self.seconds, "failed": self._failed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was taken; nothing where a checkpoint is older than courses are."""
        self.rows, self.seconds = list(state.get("rows", [])), float(state.get("seconds", 0.0))
        self._failed = list(state.get("failed", []))


def course_row(step: int, row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a summary's row as one of a course: what its pixels tell; a number that is not finite is missing."""
    numbers = {measure.name: float(row[measure.name]) for measure in registry.REGISTERED if measure.of_pixels}
    finite = {name: number if math.isfinite(number) else math.nan for name, number in numbers.items()}
    return {"step": step, "pixels": str(row["pixels"]), **finite}
