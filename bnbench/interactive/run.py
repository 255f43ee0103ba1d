"""A sweep in three lines of a notebook: the same resume, progress and errors as ``bnbench run``."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from inspect import signature
from pathlib import Path

import torch

from bnbench.interactive import values
from bnbench.interactive.interruption import interruptible
from bnbench.interactive.knobs import Knob, protocol_of
from bnbench.interactive.messages import MessagesOfACall
from bnbench.interactive.naming import errors_name_arguments, names_of
from bnbench.interactive.picture_values import pictures_of
from bnbench.interactive.result import SweepResult
from bnbench.interactive.sizes import RESULTS_OF_SEVERAL
from bnbench.interactive.where import backend_of, devices_of
from bnbench.process.surroundings import as_it_was
from bnbench.protocol.protocol import Grid, Protocol
from bnbench.sweep.backends.backend import Backend
from bnbench.sweep.devices import DeviceRequest
from bnbench.sweep.execution import Execution
from bnbench.sweep.messages import Listener
from bnbench.sweep.request import SweepRequest
from bnbench.sweep.several import run_sweeps

_PROBS = "0.1:0.9:0.1"


def run(
    profile: str | Protocol = "compact",
    *,
    probs: str | float | Iterable[float] = _PROBS,
    seeds: str | int | Iterable[int] = 5,
    arms: str | Iterable[str] = "plain,bn",
    mask: str | Path | None = None,
    grey_level: str | float = "auto",
    invert: bool = False,
    folder: str | Path | None = None,
    backend: str | Backend | type[Backend] = "process",
    devices: str | torch.device | Iterable[str | torch.device] = "auto",
    per_device: int | None = None,
    jobs: int | None = None,
    threads: int = 1,
    data: str | Path | None = None,
    data_folder: str | Path | None = None,
    download: bool = False,
    chunk: int | None = None,
    checkpoint_every: float = 120.0,
    fit_timeout: float | None = None,
    fit_memory: int | None = None,
    keep_planes: bool = False,
    measure_at: str | int | Iterable[int] | None = None,
    shard: str | tuple[int, int] = (1, 1),
    retry_failed: bool = False,
    force: bool = False,
    fail_fast: bool = False,
    progress: bool = True,
    **knobs: Knob,
) -> SweepResult:
    """Fit planes to seeded random masks and measure their landscapes, as ``bnbench run`` does.

    Finished fits are kept in the folder, and a fit that was cut off goes on from its last checkpoint: the same call
    goes on where it was stopped. Ctrl-C, or a notebook's stop button, lets fits under way write their checkpoints
    first. A fit that fails raises nothing: it is in :attr:`SweepResult.failed`.

    Args:
        profile: name of a profile, or a protocol.
        probs: fill probabilities: a number, several, or text such as ``0.1:0.9:0.1``.
        seeds: a count, several seeds, or text such as ``101,103``.
        arms: ``plain``, ``bn``, ``skip`` or ``package.module:factory``: several, or text with commas.
        mask: picture's file in place of random masks, or a folder of pictures; ``mask_size`` is its longer side, and
            its share of black pixels stands in the place of ``probs``.
        grey_level: of the picture: what is darker is black, a grey from 0 (dark) to 1 (light), or ``auto``.
        invert: let the picture's dark pixels be white, and light ones black.
        folder: where results go; by default ``results/`` and the profile's name.
        backend: where fits run: ``process``, ``dask`` or ``inline``, or a :class:`Processes`, :class:`Dask` or
            :class:`Inline`. With ``dask`` a script has to call this below ``if __name__ == "__main__":``.
        devices: ``auto``, ``cpu``, ``cuda:*``, or names of devices, each as often as it has slots.
        per_device: fits at once on each device; by default measured on a GPU, and on the CPU one a core.
        jobs: fits at once, all devices together.
        threads: processor threads of each fit.
        data: images to fit: a data set's name, or your own: a folder of images or IDX files, or a ``.npz`` file.
        data_folder: folder of the data set's files, or the one above it.
        download: whether torchvision may download a missing data set.
        chunk: pixels computed at once; by default measured, once per folder.
        checkpoint_every: seconds between two checkpoints of a fit.
        fit_timeout: seconds after which a fit that is not done counts as failed; None for no limit.
        fit_memory: MiB of main memory beyond which a fit's process ends, and the fit counts as failed; None for any.
        keep_planes: keep each fit's plane too, for ``bnbench evaluate``.
        measure_at: measure each fit on the way too: at so many steps, spaced by the logarithm, or at the steps given.
        shard: (N, M) or ``N/M``: every M-th fit of the grid from the N-th on.
        retry_failed: run fits again that have failed.
        force: run every fit again; what is there is moved aside, not deleted.
        fail_fast: stop at the first fit that fails.
        progress: show the plan and how far it is on stderr.
        **knobs: knobs of the protocol to change, such as ``steps=300`` or ``mask_size=10``; the results then go to
            a folder of their own. The page of the commands names them all. ``mask_size="14,20,28"``, or pairs such as
            ``[(14, 14), (20, 30)]``, runs a sweep for each size, into folders of their own below ``folder``; two
            numbers alone are the rows and columns of one mask.

    Returns:
        The finished fits, those that failed, and what is left; a :class:`SizesResult` of several mask sizes,
        whose tables of fits and failures begin with a column ``mask_size``, such as ``30x20``; a
        :class:`PicturesResult` of several pictures, where that column is ``picture``.

    Raises:
        RequestError: the request cannot be met; the message names the argument, the value and the way out.
        KeyboardInterrupt: it was stopped; all that was written is kept.
    """
    names = names_of(run, out="folder", scheduler="scheduler")
    with errors_name_arguments(names):
        knobs, data_folder = values.data_of(data, knobs, data_folder)
        where = DeviceRequest(
            devices_of(devices),
            values.count_of(jobs, "jobs"),
            values.count_of(per_device, "per_device"),
            values.required_count_of(threads, "threads"),
        )
        execution = Execution(
            data_folder=values.folder_of(data_folder, "data_folder"),
            download=values.flag_of(download, "download"),
            checkpoint_every=values.required_seconds_of(checkpoint_every, "checkpoint_every"),
            devices=where,
            keep_planes=values.flag_of(keep_planes, "keep_planes"),
            measure_at=values.steps_of(measure_at),
            fit_timeout=values.seconds_of(fit_timeout, "fit_timeout"),
            fit_memory=values.mebibytes_of(fit_memory, "fit_memory"),
        )
        sizes = values.sizes_of(knobs)
        if sizes:
            knobs = {name: value for name, value in knobs.items() if name != "mask_size"}
            knobs |= {"mask_size": sizes[0]} if len(sizes) == 1 else {}
        request = SweepRequest(
            protocol_of(profile, knobs, [*signature(run).parameters]),
            Grid(values.arms_of(arms), values.probs_of(probs), values.seeds_of(seeds)),
            values.folder_of(folder, "folder"),
            execution,
            values.count_of(chunk, "chunk"),
            values.shard_of(shard),
            retry_failed=values.flag_of(retry_failed, "retry_failed"),
            force=values.flag_of(force, "force"),
            fail_fast=values.flag_of(fail_fast, "fail_fast"),
        )
        listener = MessagesOfACall(names) if values.flag_of(progress, "progress") else Listener()
        place = backend_of(backend)
        has_probs = not (isinstance(probs, str) and probs == _PROBS)
        pictures = pictures_of(mask, request.protocol, sizes, grey_level, invert, has_probs=has_probs)
        is_folder = mask is not None and Path(mask).expanduser().is_dir()
        with as_it_was():
            ended = interruptible(
                partial(run_sweeps, request, place, listener, sizes=sizes, pictures=pictures, is_folder=is_folder),
                listener.note,
            )
        if not ended.several:
            return SweepResult(ended.each[""], names)
        return RESULTS_OF_SEVERAL[ended.several](ended.folder, ended.each, names)
