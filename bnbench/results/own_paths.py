"""What is written for others to read holds no path that tells where somebody works, or as whom."""

from __future__ import annotations

import re
from pathlib import Path

_ENDS = r"(?![\w-]|\.\w)"  # of a folder's name


def without_own_paths(text: str, folder: Path) -> str:
    """Return a text, such as a traceback, with paths as anybody has them.

    Args:
        text: any.
        folder: the results folder, whose path becomes its own name.

    Returns:
        It, with the current folder as ``.`` and the user's own as ``~``.
    """
    places = [(str(folder.absolute()), folder.absolute().name), (_here(), "."), (str(Path.home()), "~")]
    for place, name in sorted(places, key=lambda each: -len(each[0])):
        if len(place) > 1:  # / is everyone's
            text = re.sub(rf"(?<![\w.~-]){re.escape(place)}{_ENDS}", lambda _, name=name: name, text)  # type: ignore[misc]  # a lambda with a default
    return text


def own_path(path: Path) -> str:
    """Return a path as it is stored: below the current folder relative to it, below the user's own with ``~``."""
    if path.is_absolute():
        for place, name in ((_here(), ""), (str(Path.home()), "~")):
            if len(place) > 1 and path.is_relative_to(place):
                return str(Path(name, path.relative_to(place)))
    return str(path)


def _here() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # deleted
        return ""
