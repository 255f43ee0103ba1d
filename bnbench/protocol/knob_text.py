"""A knob's value as text: as the command line takes it, and for reading."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from bnbench.protocol.knobs import list_text
from bnbench.protocol.picture_text import picture_name
from bnbench.protocol.protocol import SECTIONS


def knob_text(name: str, value: Any) -> str:
    """Return a knob's value as the command line takes it: ``8,8,16`` for widths, ``30x20`` for a mask size."""
    if not isinstance(value, tuple):
        return str(value)
    knobs = {field.name: field.metadata for section in SECTIONS.values() for field in fields(section)}
    return list_text(value, knobs[name].get("separator", ","))


def shown_text(name: str, value: Any) -> str:
    """Return a knob's value for reading: of a picture its name, else as :func:`knob_text`."""
    return picture_name(value) if name == "picture" else knob_text(name, value)
