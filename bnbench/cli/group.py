"""The commands as one program, and what every error becomes: one sentence and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from bnbench.cli.check import check
from bnbench.cli.evaluate import evaluate
from bnbench.cli.options import say
from bnbench.cli.report import report
from bnbench.cli.run import run
from bnbench.cli.status import status
from bnbench.errors import RequestError
from bnbench.interrupts import Interrupted


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="bnbench")
def cli() -> None:
    """How easily can a loss landscape be bent to a picture, and how much harder is it with batch normalization?"""


for command in (run, status, evaluate, report, check):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point: every error that a request can cause is one sentence and exit code 2."""
    if arguments is None:  # as a program; a sweep has handlers of its own
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
    try:
        code = cli.main(arguments, prog_name="bnbench", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = 2
    except click.ClickException as error:
        say(f"bnbench: {error.format_message()}")
        code = 2
    except RequestError as error:
        say(f"bnbench: {error}")
        code = 2
    except BrokenPipeError:  # whoever read it has closed it, such as head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        say(f"bnbench: {error.filename or 'the system'}: {error.strerror or error}; nothing that was finished is lost.")
        code = 2
    except (Interrupted, KeyboardInterrupt, click.Abort) as error:
        code = 128 + (error.number if isinstance(error, Interrupted) else signal.SIGINT)
        say("bnbench: interrupted; all that was computed is kept, and the same command goes on from there.")
    sys.exit(code if isinstance(code, int) else 0)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted(number)
