"""A refused value that nobody has given: it is the profile's, and the refusal says so."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from bnbench.errors import RequestError
from bnbench.protocol.knob_text import knob_text
from bnbench.protocol.profiles import PROFILES, changes
from bnbench.protocol.protocol import Protocol


@contextmanager
def naming_the_profile(asked: Protocol, given: Collection[str] | None = None) -> Iterator[None]:
    """Have what is refused within say which of the values that it names are the profile's.

    Args:
        asked: the protocol, or the profile that a protocol is to be made from.
        given: names of the knobs that the user has given; by default those in which it differs from its profile.

    Raises:
        RequestError: what was refused, with a sentence more where it names a value of the profile.
    """
    try:
        yield
    except RequestError as error:
        said = error.as_command
        error.args = (" ".join(filter(None, (said, _of_the_profile(said, asked, given)))), *error.args[1:])
        raise


def _of_the_profile(said: str, asked: Protocol, given: Collection[str] | None) -> str:
    if asked.profile not in PROFILES:
        return ""
    users = changes(asked) if given is None else given
    options = {name: f"--{name.replace('_', '-')} {knob_text(name, value)}" for name, value in asked.knobs()}
    named = [
        text for name, text in options.items() if name not in users and re.search(rf"{re.escape(text)}(?!\w)", said)
    ]
    if not named:
        return ""
    made_for = [name for name, one in PROFILES.items() if one.data.dataset == asked.data.dataset]
    other = (
        f"; --profile {made_for[0]} is made for {asked.data.dataset}"
        if made_for[:1] and asked.profile not in made_for
        else ""
    )
    return f"The profile {asked.profile} brings {' and '.join(named)}{other}."
