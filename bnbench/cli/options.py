"""What options accept, and one option for each knob of a protocol."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from bnbench.errors import RequestError
from bnbench.protocol.data_option import parse_data
from bnbench.protocol.mask_sizes import parse_sizes
from bnbench.protocol.measured_steps import MeasuredSteps
from bnbench.protocol.parsing import (
    parse_arms,
    parse_count,
    parse_counts,
    parse_folder,
    parse_shard,
)
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import BUILT_IN, SECTIONS
from bnbench.protocol.written_numbers import LARGEST, parse_level, parse_number, parse_seconds, parse_whole
from bnbench.wording import on_one_line

Command = Callable[..., Any]


def say(sentence: object) -> None:
    """Print a line on stderr, whatever the names in it hold."""
    click.echo(on_one_line(sentence), err=True)


class Text(click.ParamType[Any]):
    """An option whose text one of bnbench's own parsers reads."""

    def __init__(self, name: str, parse: Callable[[str, str], Any]) -> None:
        self.name = name
        self.parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the option's text; what is wrong with it becomes one sentence."""
        option = param.opts[0] if param else ""
        try:
            return self.parse(value, option) if isinstance(value, str) else value
        except RequestError as error:
            raise click.ClickException(error.as_command) from error


class Arms(Text):
    """A list of arms, whose last name the shell can complete."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the built-in arms that go on with what is typed after the last comma."""
        before, comma, start = incomplete.rpartition(",")
        free = (arm for arm in BUILT_IN if arm.startswith(start) and arm not in before.split(","))
        return [CompletionItem(f"{before}{comma}{arm}") for arm in free]


ARMS = Arms("LIST", parse_arms)
COUNT = Text("COUNT", parse_count)
FOLDER = Text("FOLDER", parse_folder)
GREY = Text("GREY", parse_level)
SECONDS = Text("SECONDS", parse_seconds)
SHARD = Text("N/M", parse_shard)
STEPS = Text("LIST", MeasuredSteps.parse)


def integer(least: int = 0, most: int = LARGEST) -> Text:
    """Return the kind of an option that takes a whole number within bounds."""
    return Text("INTEGER", partial(parse_whole, least=least, most=most))


_SHORT = 40  # letters of choices that help shows beside an option's name; longer ones stand in its sentence
arms_option = click.option(
    "--arms",
    type=ARMS,
    default="plain,bn",
    show_default=True,
    help=f"{', '.join(BUILT_IN)} or package.module:factory.",
)
_MACHINE = (
    click.option("--devices", default="auto", show_default=True, help="auto, cpu, cpu,cpu, cuda:0,cuda:1 or cuda:*."),
    click.option(
        "--per-device",
        type=COUNT,
        help="Fits at once on each device.  [default: measured on a GPU; on the CPU, one a core]",
    ),
    click.option("--jobs", type=COUNT, help="Fits at once, all devices together."),
    click.option("--threads", type=COUNT, default=1, show_default=True, help="Processor threads of each fit."),
)
_PICTURE = (
    click.option(
        "--grey-level",
        type=GREY,
        default="auto",
        show_default=True,
        help="What is darker in a picture is black: a grey from 0 (dark) to 1 (light), or auto, which parts them best.",
    ),
    click.option("--invert", is_flag=True, help="Let a picture's dark pixels be white, and light ones black."),
)
_IMAGES = (
    click.option("--data-folder", type=FOLDER, help="Folder of the data set's files, or the one above it."),
    click.option("--download", is_flag=True, help="Let torchvision download a missing data set."),
)


def picture_options(command: Command) -> Command:
    """Give a command the options that say which pixels of a picture are black."""
    for option in reversed(_PICTURE):
        command = option(command)
    return command


def checkpoint_option(usual: float) -> Callable[[Command], Command]:
    """Give a command ``--checkpoint-every``, with its usual seconds."""
    return click.option(
        "--checkpoint-every",
        type=SECONDS,
        default=usual,
        show_default=True,
        help="Seconds between two checkpoints of a fit.",
    )


def say_first(what: str) -> None:
    """Say that the command has begun, where the import of torch is still to come: that takes some seconds."""
    if "torch" not in sys.modules:
        say(f"loading torch; {what}")


def profile_option(usual: str) -> Command:
    """Give a command ``--profile``, with the profile that it follows where none is named."""
    names = ", ".join(PROFILES)
    return click.option(
        "--profile",
        type=click.Choice(list(PROFILES)),
        metavar="NAME",
        default=usual,
        show_default=True,
        help=f"Protocol to follow: {names}.",
    )


def data_option(command: Command) -> Command:
    """Give a command ``--data``, which stands for ``--dataset`` and, of a user's own images, ``--data-folder``."""
    return click.option(
        "--data",
        type=Text("NAME|PATH", parse_data),
        help="Images to fit: a data set's name, or your own: a folder of images or IDX files, or a .npz file.",
    )(command)


def chosen_data(
    data: tuple[str, Path | None] | None, dataset: str | None, folder: Path | None
) -> tuple[str | None, Path | None]:
    """Return the data set and its folder that ``--data``, ``--dataset`` and ``--data-folder`` choose together.

    Raises:
        RequestError: the command line names the images twice.
    """
    if data is None:
        return dataset, folder
    given = click.get_current_context().get_parameter_source
    twice = ["dataset"] if given("dataset") is ParameterSource.COMMANDLINE else []
    twice += ["data_folder"] if data[1] and given("data_folder") is ParameterSource.COMMANDLINE else []
    if twice:
        raise RequestError(f"--data {data[1] or data[0]} and --{twice[0].replace('_', '-')}: give one of them.")
    return data[0], data[1] or folder


def machine_options(command: Command) -> Command:
    """Give a command the options that say where fits run."""
    for option in reversed(_MACHINE):
        command = option(command)
    return command


def image_options(command: Command) -> Command:
    """Give a command the options that say where images come from."""
    for option in reversed(_IMAGES):
        command = option(command)
    return command


def knob_options(command: Command) -> Command:
    """Give a command one option for each knob of a protocol, with the knob's own help."""
    kinds: dict[str, Any] = {
        "int": integer(),
        "float": Text("FLOAT", parse_number),
        "str": str,
        "bool": bool,
        "tuple[int, ...]": Text("LIST", parse_counts),
        "tuple[int, int]": Text("SIZES", parse_sizes),
    }
    for section in reversed(SECTIONS.values()):
        for knob in reversed(fields(section)):
            choices, meaning = knob.metadata.get("choices"), knob.metadata["help"]
            kind = click.Choice(choices) if choices else kinds[str(knob.type)]
            # a truth value may be left out after its option, and stands there in a command that was written down
            more: dict[str, Any] = (
                {"is_flag": False, "flag_value": True, "metavar": "[True|False]"} if kind is bool else {}
            )
            if choices and len("|".join(choices)) > _SHORT:
                more, meaning = {"metavar": "NAME"}, f"{meaning.removesuffix('.')}: {', '.join(choices)}."
            name = f"--{knob.name.replace('_', '-')}"
            command = click.option(name, knob.name, type=kind, help=meaning, **more)(command)
    return command
