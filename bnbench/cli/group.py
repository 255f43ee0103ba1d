"""The commands as one program, and what every error becomes: one sentence and an exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from bnbench.cli import ending
from bnbench.cli.bend import bend
from bnbench.cli.check import check
from bnbench.cli.evaluate import evaluate
from bnbench.cli.export import export
from bnbench.cli.help_in_groups import Program, settings
from bnbench.cli.options import say
from bnbench.cli.report import report
from bnbench.cli.run import run
from bnbench.cli.smoothness import smoothness
from bnbench.cli.status import status
from bnbench.cli.streams import drop_output, prepare_streams
from bnbench.cli.verify import verify
from bnbench.errors import RequestError
from bnbench.process.descriptors import keep_stdout_for_machines
from bnbench.sweep.interrupts import STOPPING, Interrupted, end_program_by

_GO_ON = ("bend", "evaluate", "run")  # commands that go on where they were stopped
_KEPT = "all that was written is kept, and the same command goes on from there."
_LOST = "the same command begins anew."


@click.group(cls=Program, context_settings=settings())
@click.version_option(package_name="bnbench")
def cli() -> None:
    """How easily can a loss landscape be bent to a picture, and is it harder with batch normalization?"""


for command in (bend, run, status, evaluate, smoothness, report, export, check, verify):
    cli.add_command(command)


def run_program(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program; every error that a request can cause is one sentence and exit code 2."""
    if arguments is None:  # as a program; a sweep has handlers of its own
        prepare_streams()
        for number in STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _interrupt)
        end_program_by(ending.end_at_once)
    words = sys.argv[1:] if arguments is None else arguments
    interrupted = f"interrupted; {_KEPT if words and words[0] in _GO_ON else _LOST}"
    ending.will_say(interrupted)
    try:
        code = cli.main(arguments, prog_name="bnbench", standalone_mode=False)
        sys.stdout.flush()  # here: at the interpreter's end a full disk or a closed pipe would be a traceback
    except SystemExit as ended:
        code = ended.code
        if isinstance(code, str):  # as Python ends with a text: said, and no success
            say(f"bnbench: {code}")
            code = 1
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = 2
    except click.UsageError as error:
        say(f"bnbench: {_with_way_out(error, words)}")
        code = 2
    except click.ClickException as error:
        say(f"bnbench: {error.format_message()}")
        code = 2
    except RequestError as error:
        say(f"bnbench: {error.as_command}")
        code = 2
    except BrokenPipeError:  # whoever read it has closed it, such as head
        drop_output()
        code = 1
    except OSError as error:
        where = error.filename or ("the current folder" if _is_nowhere() else "the system")
        say(f"bnbench: {where}: {error.strerror or error}; nothing that was finished is lost.")
        code = 2
    except (Interrupted, KeyboardInterrupt, click.Abort) as error:
        code = 128 + (error.number if isinstance(error, Interrupted) else signal.SIGINT)
        say(f"bnbench: {interrupted}")
        ending.will_say("")
        if arguments is None:  # all is cleaned up, and the interpreter's own end may wait for a worker
            _flushed(code)
            ending.end_at_once(code - 128)
    signal.setitimer(signal.ITIMER_REAL, 0)  # a sweep's patience, which would outlive its handler
    code = _flushed(code if isinstance(code, int) else 0)
    if arguments is None:  # what an arm's code prints at the interpreter's end, or has left in a buffer of C's
        keep_stdout_for_machines()
    sys.exit(code)


def _with_way_out(error: click.UsageError, words: Sequence[str]) -> str:
    """Return what is wrong with a command line; a list of choices is a way out, and else the help is."""
    message = error.format_message()
    if " is not one of " in message:
        return message
    command = f"bnbench {words[0]}" if words and words[0] in cli.commands else "bnbench"
    return f"{message.removesuffix('.')}; {command} --help lists what {command} takes."


def _flushed(code: int) -> int:
    """Return the exit code, once stdout is written or known to be lost."""
    try:
        sys.stdout.flush()
    except OSError:
        drop_output()
        return code or 1
    return code


def _is_nowhere() -> bool:
    """Return whether the current folder has been deleted."""
    try:
        Path.cwd()
    except OSError:
        return True
    return False


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    if ending.may_raise(number, frame):
        raise Interrupted(number)
    ending.end_at_once(number)
