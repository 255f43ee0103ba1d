"""What a message calls an option, for whoever calls from Python: the command's ``--mask-size`` is ``mask_size`` there.

Every sentence is written once, as the command says it; :func:`in_python` says it as a call from Python is to hear it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from typing import Any

from bnbench.errors import RequestError
from bnbench.protocol.protocol import SECTIONS

Names = Mapping[str, str]  # an option, spelled as an argument, to what a message calls it
_OPTION = re.compile(r"(bnbench \w+(?: --[a-z-]+)*)|(?<![\w/-])--([a-z][a-z0-9-]*)")  # a whole command stays one


def names_of(function: Callable[..., Any], **called: str) -> Names:
    """Return what a function's messages call its arguments, and knobs: a flag is shown as it is set, ``force=True``.

    Args:
        function: any that refuses in the command's words.
        called: options of the command that the function calls otherwise, such as ``out="folder"``.
    """
    parameters = signature(function).parameters
    knobs = [name for section in SECTIONS.values() for name in section.__dataclass_fields__]
    own = {name: f"{name}=True" if isinstance(one.default, bool) else name for name, one in parameters.items()}
    return {**dict(zip(knobs, knobs, strict=True)), **own, **called}


def in_python(sentence: str, names: Names) -> str:
    """Return a sentence of the command with each option that is in ``names`` as an argument."""

    def named(found: re.Match[str]) -> str:
        return found[1] or names.get(found[2].replace("-", "_"), found[0])

    return _OPTION.sub(named, sentence).replace("the same command", "the same call")


@contextmanager
def errors_name_arguments(names: Names) -> Iterator[None]:
    """Have what is refused within name arguments, in place of the command's options."""
    try:
        yield
    except RequestError as error:
        error.args = (in_python(str(error), names), *error.args[1:])
        raise
