"""A landscape bent to a picture in three lines of a notebook, as ``bnbench bend`` does it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from inspect import signature
from pathlib import Path

import torch

from bnbench.bending.bend import BendListener
from bnbench.bending.bend import bend as bend_to
from bnbench.bending.messages import BendMessages, say
from bnbench.bending.request import BendRequest, asked_protocol
from bnbench.errors import RequestError
from bnbench.inputs.asked_picture import picture_of, scaled_from
from bnbench.inputs.data import load_data
from bnbench.interactive import values
from bnbench.interactive.bent_result import BendResult
from bnbench.interactive.interruption import interruptible
from bnbench.interactive.knobs import protocol_of
from bnbench.interactive.naming import Names, errors_name_arguments, in_python, names_of
from bnbench.interactive.picture_values import level_of, text_of, whole_of
from bnbench.interactive.where import devices_of
from bnbench.process.surroundings import as_it_was
from bnbench.protocol.profile_values import naming_the_profile
from bnbench.protocol.protocol import Protocol
from bnbench.sweep.devices import parse_devices


def bend(
    picture: str | Path | None = None,
    *,
    text: str | None = None,
    size: int = 30,
    grey_level: str | float = "auto",
    invert: bool = False,
    arms: str | Iterable[str] = "plain",
    profile: str | Protocol = "picture",
    data: str | Path | None = None,
    data_folder: str | Path | None = None,
    download: bool = False,
    steps: int | None = None,
    seed: int = 1,
    folder: str | Path | None = None,
    animate: bool = True,
    device: str | torch.device = "auto",
    threads: int = 1,
    checkpoint_every: float = 30.0,
    progress: bool = True,
) -> BendResult:
    """Bend the loss landscape of a network to a picture, as ``bnbench bend`` does.

    Landscapes and planes go into the folder, and a fit that was cut off goes on from its last checkpoint: the same
    call goes on where it was stopped, and what is done is only read. :meth:`BendResult.save` draws the strip.

    Args:
        picture: file of a PNG, JPEG, GIF, WebP or SVG.
        text: letters to bend to, in place of a picture.
        size: pixels of the longer side; a smaller picture stays as it is.
        grey_level: what is darker is black: a grey from 0 (dark) to 1 (light), or ``auto``, which parts dark from light
            best.
        invert: let dark pixels be white, and light ones black.
        arms: ``plain``, ``bn``, ``skip`` or ``package.module:factory``: several, or text with commas.
        profile: name of a profile, or a protocol.
        data: images to fit: a data set's name, or your own: a folder of images or IDX files, or a ``.npz`` file.
        data_folder: folder of the data set's files, or the one above it.
        download: whether torchvision may download a missing data set.
        steps: of training; by default the profile's.
        seed: of the initial weights and of the order of pixels and images.
        folder: where everything goes; by default ``bent/`` and the picture's name.
        animate: measure the landscape on the way too, for an animation.
        device: ``auto``, ``cpu`` or ``cuda:0``.
        threads: processor threads.
        checkpoint_every: seconds between two checkpoints.
        progress: show what it will cost and how far it is on stderr.

    Returns:
        What each arm came to.

    Raises:
        RequestError: the request cannot be met; the message names the argument, the value and the way out.
        KeyboardInterrupt: it was stopped; a checkpoint is kept.
    """
    names = names_of(bend, out="folder", arm="arms")
    with errors_name_arguments(names):
        level = level_of(grey_level, "grey_level")
        file, letters = values.folder_of(picture, "picture"), text_of(text, "text")
        side = whole_of(size, "size", 3, 1_000)
        if (file is None) == (letters is None):
            raise RequestError("give one of picture and text: bnbench.bend('heart.png'), or bnbench.bend(text='BN').")
        name, mask, place = picture_of(file, letters, side, level, invert=values.flag_of(invert, "invert"))
        knobs, where = values.data_of(data, {}, data_folder)
        images_in, may_download = values.folder_of(where, "data_folder"), values.flag_of(download, "download")
        request = BendRequest(
            name,
            mask,
            asked_protocol(
                protocol_of(profile, {}, [*signature(bend).parameters]),
                mask,
                str(knobs["dataset"]) if knobs else None,
                None if steps is None else whole_of(steps, "steps", 1),
                images_in,
                download=may_download,
            ),
            values.arms_of(arms),
            whole_of(seed, "seed", 1, 2**31 - 1),
            (values.folder_of(folder, "folder") or place).absolute(),  # a notebook may change its working directory
            values.flag_of(animate, "animate"),
            parse_devices(devices_of(device), "device")[0],
            values.required_count_of(threads, "threads"),
            values.required_seconds_of(checkpoint_every, "checkpoint_every"),
            scaled_from(file, mask),
        )
        listener = BendMessages() if values.flag_of(progress, "progress") else BendListener()
        protocol = request.protocol
        with naming_the_profile(protocol):
            images = load_data(protocol.data, protocol.measurement, images_in, may_download)
        with as_it_was():
            note = partial(_said, names) if progress else str
            bents = interruptible(partial(bend_to, request, images, listener), note)
    return BendResult(request, images, bents, listener.note)


def _said(names: Names, sentence: str) -> None:
    """Print a sentence, with this call's own arguments in it."""
    say(in_python(sentence, names))
