"""One fit in one process: drawn, fitted, measured and written, or a record of why not."""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from bnbench import store
from bnbench.data import DataSet, load_data
from bnbench.devices import Slot, lease, prepare_process
from bnbench.foreign import arm_source, load_arm
from bnbench.landscape import measure_fit
from bnbench.masks import OneColourError, draw_mask, is_trained
from bnbench.mpo.fit import DivergedError, Fit, TraceRow
from bnbench.mpo.gradient import CHUNK
from bnbench.mpo.plane import Plane
from bnbench.protocol import FitKey, Protocol
from bnbench.provenance import provenance
from bnbench.seeds import torch_generator


@dataclass(frozen=True)
class Execution:
    """How fits are computed: nothing here belongs to the protocol."""

    slots: tuple[Slot, ...]
    threads: int = 1
    chunk: int = CHUNK
    data_folder: Path | None = None
    download: bool = False


@dataclass(frozen=True)
class Outcome:
    """How one fit ended.

    Attributes:
        key: which fit it is.
        seconds: wall time.
        gflops: 10⁹ operations a second while it trained.
        black: mean accuracy over black pixels, in [0, 1].
        white: mean accuracy over white pixels.
        failure: one sentence, if it failed.
    """

    key: FitKey
    seconds: float
    gflops: float = float("nan")
    black: float = float("nan")
    white: float = float("nan")
    failure: str = ""

    def __str__(self) -> str:
        if self.failure:
            return f"{self.key}: FAILED, {self.failure}"
        accuracies = f"black {self.black:.3f}, white {self.white:.3f}"
        return f"{self.key}: difference {self.black - self.white:.3f} ({accuracies}) in {self.seconds:.0f} s"


def in_flight_path(key: FitKey, locks: Path) -> Path:
    """A file that is there while a worker computes a fit, and stays when the worker is killed."""
    return locks / f"{store.fit_name(key)}.running"


def run_fit(key: FitKey, protocol: Protocol, folder: Path, execution: Execution, locks: Path) -> Outcome:
    """Compute one fit and write its file; whatever goes wrong becomes a record.

    Args:
        key: which fit.
        protocol: what is asked.
        folder: the results folder.
        execution: slots, threads, chunk, data.
        locks: a folder of this sweep on this machine's own disk.
    """
    start = time.perf_counter()
    marker = in_flight_path(key, locks)
    marker.touch()
    try:
        with lease(execution.slots, locks) as slot:
            return _compute(key, protocol, folder, execution, slot)
    except OneColourError as error:
        return record_failure(key, folder, time.perf_counter() - start, "one-colour mask", str(error))
    except DivergedError as error:
        return record_failure(key, folder, time.perf_counter() - start, "diverged", str(error))
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        return record_failure(key, folder, time.perf_counter() - start, "error", message, traceback.format_exc())
    finally:
        marker.unlink(missing_ok=True)


def record_failure(key: FitKey, folder: Path, seconds: float, kind: str, message: str, details: str = "") -> Outcome:
    """Write the record of a failed fit; where even that fails (a full disk), say so and go on."""
    text = f"{kind}: {message}"
    try:
        store.write_failure(folder, key, kind, message, details)
    except OSError as error:
        text += f" (and no record of it could be written: {error.strerror})"
    return Outcome(key, seconds, failure=text)


def fit_identity(key: FitKey, protocol: Protocol) -> str:
    """Hash of all that a fit's numbers depend on: protocol, arm and its source, p and seed."""
    text = json.dumps([protocol.hash, key.arm, arm_source(key.arm), key.permille, key.seed])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_plane(key: FitKey, protocol: Protocol, data: DataSet, device: str) -> Plane:
    """The plane that a fit starts from; its random stream is shared by the arms."""
    factory = load_arm(key.arm, data.image_shape, data.classes, protocol.network)
    generator = torch_generator("weights", key.permille, key.seed)
    return Plane.from_factory(factory, generator, scale=protocol.training.initial_scale).to(device)


def trace_table(trace: Sequence[TraceRow]) -> pd.DataFrame:
    """A trace as a table, one row per interval of steps."""
    return pd.DataFrame(trace, columns=TraceRow._fields)


def _compute(key: FitKey, protocol: Protocol, folder: Path, execution: Execution, slot: Slot) -> Outcome:
    start = time.perf_counter()
    prepare_process(execution.threads)
    mask = draw_mask(key.p, key.seed, protocol.mask.mask_size, protocol.mask.mask_kind)
    trained = is_trained(mask)
    data = load_data(protocol.data, protocol.measurement, execution.data_folder, execution.download).to(slot.device)
    plane = make_plane(key, protocol, data, slot.device)
    under_way = Fit(
        plane,
        torch.from_numpy(mask),
        torch.from_numpy(trained),
        data.train,
        protocol.training,
        origin=protocol.mask.origin,
        pixels=torch_generator("pixels", key.permille, key.seed),
        images=torch_generator("images", key.permille, key.seed),
        chunk=execution.chunk,
    )
    fit_start = time.perf_counter()
    while not under_way.is_done:
        under_way.advance()
    fit_seconds = time.perf_counter() - fit_start
    gflops = under_way.engine.flops(data.image_shape) / fit_seconds / 1e9
    table, summary = measure_fit(plane, key, mask, trained, data, protocol)
    seconds = time.perf_counter() - start
    store.write_fit(
        folder,
        store.FitResult(
            key=key,
            identity=fit_identity(key, protocol),
            protocol=protocol,
            landscape=table,
            summary=summary,
            trace=trace_table(under_way.rows),
            provenance={
                **provenance(slot, execution.threads, execution.chunk),
                "fit_seconds": round(fit_seconds, 3),
                "wall_seconds": round(seconds, 3),
                "gflops": round(gflops, 2),
            },
            source=arm_source(key.arm),
        ),
    )
    return Outcome(key, seconds, gflops, *headline(summary))


def headline(summary: pd.DataFrame) -> tuple[float, float]:
    """Mean accuracy over all black and all white pixels, on the protocol's split under its BN policy."""
    row = summary[summary["headline"] & (summary["split"] != "train") & (summary["pixels"] == "all")].iloc[0]
    return float(row["black"]), float(row["white"])
