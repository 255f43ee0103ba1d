"""``bnbench bend``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bnbench.cli.options import ARMS, COUNT, FOLDER, SECONDS, Text, chosen_data, data_option, image_options, integer
from bnbench.errors import RequestError
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import BUILT_IN
from bnbench.protocol.written_numbers import parse_level

if TYPE_CHECKING:
    from bnbench.inputs.masks import Mask

_LARGEST_SIZE = 1_000


@click.command()
@click.argument("picture", type=click.Path(path_type=Path), required=False)
@click.option("--text", help="Letters to bend to, in place of a picture, such as BN.")
@click.option(
    "--size",
    type=integer(3, _LARGEST_SIZE),
    default=30,
    show_default=True,
    help="Pixels of the longer side; a smaller picture stays as it is.",
)
@click.option(
    "--threshold",
    type=Text("GREY", parse_level),
    default="auto",
    show_default=True,
    help="What is darker is black: a grey from 0 (dark) to 1 (light), or auto, which parts dark from light best.",
)
@click.option("--invert", is_flag=True, help="Let dark pixels be white, and light ones black.")
@click.option(
    "--arm",
    "arms",
    type=ARMS,
    default="plain",
    show_default=True,
    help=f"{', '.join(BUILT_IN)} or package.module:factory; several stand side by side.",
)
@click.option("--profile", type=click.Choice(list(PROFILES)), default="picture", show_default=True, help="Protocol.")
@click.option("--steps", type=integer(1), help="Training steps.  [default: the profile's]")
@click.option("--seed", type=integer(1, 2**31 - 1), default=1, show_default=True, help="Of weights and order.")
@click.option("--out", type=FOLDER, help="Folder to write.  [default: bent/NAME]")
@click.option(
    "--animate/--no-animate", default=True, show_default=True, help="Measure the landscape on the way, and animate it."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda:0.")
@click.option("--threads", type=COUNT, default=1, show_default=True, help="Processor threads.")
@click.option(
    "--checkpoint-every", type=SECONDS, default=30.0, show_default=True, help="Seconds between two checkpoints."
)
@data_option
@image_options
def bend(
    picture: Path | None,
    text: str | None,
    size: int,
    threshold: float | None,
    invert: bool,
    arms: tuple[str, ...],
    data: tuple[str, Path | None] | None,
    profile: str,
    steps: int | None,
    seed: int,
    out: Path | None,
    animate: bool,
    device: str,
    threads: int,
    checkpoint_every: float,
    data_folder: Path | None,
    download: bool,
) -> None:
    """Bend the loss landscape of a network to PICTURE: a PNG, JPEG, GIF or WebP.

    Networks at black pixels learn to classify, those at white ones not to. Leaves a strip for print, an animation, a
    page, the landscape as a table and the plane. The same command goes on where it was stopped, and draws anew what
    is done.
    """
    if (picture is None) == (text is None):
        raise RequestError("give one of PICTURE and --text: bnbench bend heart.png, or bnbench bend --text BN.")
    mask = _mask(picture, text, size, threshold, invert=invert)  # before anything is loaded that takes long
    from bnbench.bend.bend import bend as bend_to
    from bnbench.bend.request import BendRequest, fitted_protocol
    from bnbench.cli.bend_messages import BendMessages
    from bnbench.inputs.data import load_data
    from bnbench.inputs.datasets import read_dataset
    from bnbench.sweep.devices import parse_devices

    dataset, data_folder = chosen_data(data, None, data_folder)
    changed = {name: value for name, value in (("dataset", dataset), ("steps", steps)) if value is not None}
    protocol = fitted_protocol(PROFILES[profile].with_knobs(**changed), mask)
    if profile == "picture" and protocol.data.dataset != PROFILES[profile].data.dataset:
        protocol = fitted_protocol(protocol, mask, read_dataset(protocol.data.dataset, data_folder, download))
    name = picture.name if picture else str(text)
    request = BendRequest(
        name,
        mask,
        protocol,
        arms,
        seed,
        out or Path("bent") / (_folder_name(picture.stem if picture else str(text))),
        animate,
        parse_devices(device, "--device")[0],
        threads,
        checkpoint_every,
    )
    images = load_data(protocol.data, protocol.measurement, data_folder, download)
    with BendMessages() as messages:
        bend_to(request, images, messages)


def _mask(picture: Path | None, text: str | None, size: int, level: float | None, *, invert: bool) -> Mask:
    from bnbench.inputs.pictures import draw_text, read_picture

    if picture is not None:
        return read_picture(picture, size, level, invert=invert)
    return draw_text(text or "", size, invert=invert)


def _folder_name(name: str) -> str:
    """A name as a folder can have it."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "picture"
