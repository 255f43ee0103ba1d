"""``--config``: options read from a file, which the command line overrides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bnbench.cli.help_in_groups import GroupedCommand
from bnbench.errors import RequestError


class ConfiguredCommand(GroupedCommand):
    """A command with ``--config``; an error about a value of the file names the file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options."""
        with _naming_the_file(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _naming_the_file(ctx):
            return super().invoke(ctx)


def config_option(command: Any) -> Any:
    """Give a command ``--config``, whose file stands in for options that are not on the command line."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        is_eager=True,
        callback=_read,
        help="Options from a TOML file; those on the command line win.",
    )(command)


def _read(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    from bnbench.results.asked import ONE_RUN, folder_of, read_config

    if path is not None:
        options = {
            option.name: option.is_flag or option.type is click.BOOL
            for option in ctx.command.params
            if isinstance(option, click.Option) and option.name and option.opts[0].strip("-") not in ONE_RUN
        }
        try:
            stored = read_config(path, options)
            if folder := folder_of(path):  # wherever that has been moved to since
                stored["out"] = str(folder)
            ctx.default_map = stored
        except RequestError as error:
            raise RequestError(f"--config {error.as_command}") from error
    return path


@contextmanager
def _naming_the_file(ctx: click.Context) -> Iterator[None]:
    try:
        yield
    except (RequestError, click.ClickException) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else error.as_command
        option = re.search(r"--([a-z-]+)", message)
        name = option[1].replace("-", "_") if option else ""
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT_MAP:
            raise
        raise RequestError(f"--config {ctx.params['config']}: {message}") from error
