"""``bnbench bend``."""

from __future__ import annotations

from pathlib import Path

import click

from bnbench.cli.help_in_groups import GroupedCommand
from bnbench.cli.options import (
    ARMS,
    COUNT,
    FOLDER,
    GREY,
    checkpoint_option,
    chosen_data,
    data_option,
    image_options,
    integer,
    picture_options,
    profile_option,
    say_first,
)
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import BUILT_IN

_LARGEST_SIZE = 1_000


@click.command(cls=GroupedCommand)
@click.argument("picture", type=click.Path(path_type=Path), required=False)
@click.option("--text", help="Letters to bend to, in place of a picture, such as BN.")
@click.option(
    "--size",
    type=integer(3, _LARGEST_SIZE),
    default=30,
    show_default=True,
    help="Pixels of the longer side; a smaller picture stays as it is.",
)
@picture_options
@click.option("--threshold", type=GREY, hidden=True, help="As --grey-level.")
@click.option(
    "--arm",
    "--arms",
    "arms",
    type=ARMS,
    default="plain",
    show_default=True,
    help=f"{', '.join(BUILT_IN)} or package.module:factory; several stand side by side.",
)
@profile_option("picture")
@click.option("--steps", type=integer(1), help="Training steps.  [default: the profile's]")
@click.option(
    "--seed",
    type=integer(1, 2**31 - 1),
    default=1,
    show_default=True,
    help="Seed of initial weights and order of images.",
)
@click.option("--out", type=FOLDER, help="Folder to write.  [default: bent/NAME]")
@click.option(
    "--animate/--no-animate", default=True, show_default=True, help="Measure the landscape on the way, and animate it."
)
@click.option(
    "--ensemble", is_flag=True, help="Print the accuracy of averaged predictions of 1, 2, 5, 10 and all black pixels."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda:0.")
@click.option("--threads", type=COUNT, default=1, show_default=True, help="Processor threads.")
@checkpoint_option(30.0)
@data_option
@image_options
def bend(
    picture: Path | None,
    text: str | None,
    size: int,
    grey_level: float | None,
    threshold: float | None,
    invert: bool,
    arms: tuple[str, ...],
    data: tuple[str, Path | None] | None,
    profile: str,
    steps: int | None,
    seed: int,
    out: Path | None,
    animate: bool,
    ensemble: bool,
    device: str,
    threads: int,
    checkpoint_every: float,
    data_folder: Path | None,
    download: bool,
) -> None:
    """Bend the loss landscape of a network to PICTURE: a PNG, JPEG, GIF, WebP or SVG.

    Networks at black pixels learn to classify, those at white ones not to. Leaves a strip for print, an animation, a
    page, the landscape as a table and the plane. The same command goes on where it was stopped, and draws anew what
    is done.
    """
    from bnbench.inputs.asked_picture import picture_of, scaled_from

    level = grey_level if threshold is None else threshold
    name, mask, folder = picture_of(picture, text, size, level, invert=invert)  # before what takes long to load
    say_first("the plan follows")
    from bnbench.bending.bend import bend as bend_to
    from bnbench.bending.bend import measure_ensembles, write_pictures
    from bnbench.bending.request import BendRequest, asked_protocol
    from bnbench.cli.bend_messages import BarMessages, print_end
    from bnbench.inputs.data import load_data
    from bnbench.protocol.profile_values import naming_the_profile
    from bnbench.sweep.devices import parse_devices

    dataset, data_folder = chosen_data(data, None, data_folder)
    protocol = asked_protocol(PROFILES[profile], mask, dataset, steps, data_folder, download=download)
    request = BendRequest(
        name,
        mask,
        protocol,
        arms,
        seed,
        out or folder,
        animate,
        parse_devices(device, "--device")[0],
        threads,
        checkpoint_every,
        scaled_from(picture, mask),
    )
    with naming_the_profile(protocol):
        images = load_data(protocol.data, protocol.measurement, data_folder, download)
    with BarMessages() as messages:
        bents = bend_to(request, images, messages)
    files = write_pictures(request, bents, messages.note)
    print_end(bents, measure_ensembles(request, images) if ensemble else {}, files)
