"""The animation: the picture, and test accuracy on the plane while it is bent, as a GIF and, with ffmpeg, an MP4."""

from __future__ import annotations

import importlib
import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, PillowWriter
from matplotlib.figure import Figure as Drawing

from bnbench.bending.files import Bent
from bnbench.bending.strip import accuracy_scale, panel_size, show, show_mask
from bnbench.inputs.masks import Mask
from bnbench.process.writers import scratch_prefix
from bnbench.report.arms import arm_labels
from bnbench.results.layout import write_atomically

_SECONDS = 5.0  # the whole, of which the last picture stands still for the last part
_STILL = 1.0
_RATE = 10  # pictures a second
_RESOLUTION = 128  # pixels per inch; even numbers of pixels follow from the sizes below, as MP4 wants them
_EDGE, _TITLE, _BELOW = 0.06, 0.22, 0.20  # inches


def write_animations(
    folder: Path, mask: Mask, bents: Sequence[Bent], note: Callable[[str], None] | None = None
) -> list[Path]:
    """Write the animation of all arms together, five seconds long.

    Args:
        folder: where.
        mask: True where black, shape (rows, columns).
        bents: one for each arm, with frames of the same steps.
        note: hears it where ffmpeg writes no MP4; not all of them have its encoder.

    Returns:
        The GIF, and the MP4 where ffmpeg is at hand, on the path or in the package imageio-ffmpeg, and writes it.

    Raises:
        OSError: a file cannot be written.
    """
    writers: dict[str, AbstractMovieWriter] = {"gif": PillowWriter(fps=_RATE)}
    program = _ffmpeg()
    if program:
        writers["mp4"] = FFMpegWriter(fps=_RATE, codec="h264", extra_args=["-pix_fmt", "yuv420p", "-crf", "20"])
    written = []
    settings = mpl.rc_context({"animation.ffmpeg_path": program or "ffmpeg"})
    with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as scratch, settings:
        for ending, writer in writers.items():
            made = Path(scratch) / f"animation.{ending}"
            try:
                _write(writer, made, mask, bents)
            except (subprocess.CalledProcessError, OSError):
                if ending != "mp4":
                    raise
                if note:
                    note(f"{program} writes no H.264, and there is no animation.mp4; animation.gif is there.")
                continue
            written.append(folder / made.name)
            write_atomically(written[-1], made.read_bytes())
    return written


def shown_frames(frames: int) -> list[int]:
    """Return which frame each picture of the animation shows: all in their order, and the last for a while."""
    moving, still = round((_SECONDS - _STILL) * _RATE), round(_STILL * _RATE)
    return [int(frame) for frame in np.linspace(0, frames - 1, moving).round()] + [frames - 1] * still


def _write(writer: AbstractMovieWriter, path: Path, mask: Mask, bents: Sequence[Bent]) -> None:
    width, height = panel_size(mask)
    total = _even((1 + len(bents)) * (width + _EDGE) + _EDGE)
    tall = _even(_TITLE + height + _BELOW)
    drawing = Drawing(figsize=(total, tall))
    places = [
        ((_EDGE + number * (width + _EDGE)) / total, _BELOW / tall, width / total, height / tall)
        for number in range(1 + len(bents))
    ]
    show_mask(drawing.add_axes(places[0]), mask).set_title("picture", pad=3)
    scale = accuracy_scale(max(float(bent.frames.max()) for bent in bents))
    labels = arm_labels([bent.arm for bent in bents])
    images = []
    for bent, place in zip(bents, places[1:], strict=True):
        axes = drawing.add_axes(place)
        axes.set_title(f"accuracy, {labels[bent.arm]}", pad=3)
        images.append(show(axes, bent.frames[0], scale))
    said = drawing.text(0.5, 0.08 / tall, "", ha="center", va="center", fontsize=7)
    with writer.saving(drawing, str(path), _RESOLUTION):
        for frame in shown_frames(min(len(bent.frames) for bent in bents)):
            for bent, image in zip(bents, images, strict=True):
                image.set_data(bent.frames[frame])
            said.set_text(f"step {bents[0].steps[frame]:,}")
            writer.grab_frame()


def _even(inches: float) -> float:
    """Return the next size with an even number of pixels."""
    return 2 * math.ceil(inches * _RESOLUTION / 2) / _RESOLUTION


def _ffmpeg() -> str | None:
    """Return the program that writes MP4: on the path, or the one that imageio-ffmpeg brings along."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        return str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None
