"""Reading a file that may be anything: it never blocks, and what is read is plain."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

_LARGEST = 2**30  # bytes of a file that is read whole
_LARGEST_TEXT = 2**24
_LARGEST_METADATA = 2**27  # of a file of numbers: a fit's trace is there
_DEEPEST = 32  # lists and mappings within each other
_LONGEST = 160  # letters of a reason
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_file(path: Path, largest: float = _LARGEST) -> bytes:
    """Read all of a regular file, or of what a link leads to.

    Args:
        path: which.
        largest: number of bytes from which it is refused.

    Raises:
        FileNotFoundError: nothing is there.
        OSError: it cannot be read, is too large, or is a pipe, a folder or the like; it names the path.
    """
    try:
        # Without O_NONBLOCK a named pipe would wait for somebody to write into it.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise OSError(errno.EINVAL, "a link that leads nowhere", str(path)) from None
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.EINVAL, "a socket or a device, not a file", str(path)) from None
        raise
    try:
        _check_regular(path, os.fstat(file), largest)
        with os.fdopen(os.dup(file), "rb") as opened:
            return opened.read()
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        os.close(file)


def check_regular(path: Path) -> None:
    """Refuse what another library could not open without the danger of waiting for ever.

    Raises:
        FileNotFoundError: nothing is there.
        OSError: it is no regular file; it names the path.
    """
    _check_regular(path, path.stat(), math.inf)


def read_json(path: Path) -> Any:
    """Read what a JSON file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not plain JSON: see :func:`plain_json`.
    """
    return plain_json(read_file(path, _LARGEST_TEXT))


def read_toml(path: Path, *, is_ours: bool) -> dict[str, Any]:
    """Read what a TOML file holds.

    Args:
        path: which.
        is_ours: whether it can only be a regular file; what a user names may be a pipe, such as a shell's ``<(...)``.

    Raises:
        OSError: it cannot be read, or is too large.
        ValueError: it is not TOML, or not plain: see :func:`plain_json`.
    """
    content = read_file(path, _LARGEST_TEXT) if is_ours else _read_stream(path)
    try:
        stored = tomllib.loads(content.decode())
        check_plain(json.loads(json.dumps(stored, default=str)), with_nan=True)  # a date is as good as its text
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return stored


def _read_stream(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_LARGEST_TEXT + 1)
    if len(content) > _LARGEST_TEXT:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content


def plain_json(content: bytes, *, with_nan: bool = False) -> Any:
    """Read JSON in UTF-8 without what a later reader would stumble over.

    Args:
        content: the text.
        with_nan: whether numbers may be infinite or none.

    Raises:
        ValueError: not JSON, over 128 MiB, a name twice in one mapping, half a letter (a lone surrogate), numbers that
            are not finite or have more than 64 bits, or nested too deeply.
    """
    if len(content) > _LARGEST_METADATA:
        raise ValueError(f"{len(content):,} bytes are too many")
    try:
        stored = json.loads(content.decode(), object_pairs_hook=_without_doubles)
        check_plain(stored, with_nan=with_nan)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return stored


def check_plain(value: Any, *, with_nan: bool = False, depth: int = 0) -> None:
    """Refuse values that are no plain JSON.

    Raises:
        ValueError: see :func:`plain_json`.
    """
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        value.encode()  # a UnicodeEncodeError is a ValueError
    elif isinstance(value, float):
        if not with_nan and not math.isfinite(value):
            raise ValueError(f"a number is {value}")
    elif isinstance(value, int):
        if abs(value) >= 2**63:
            raise ValueError("a number has more than 64 bits")
    elif isinstance(value, dict):
        for name, part in value.items():
            name.encode()
            check_plain(part, with_nan=with_nan, depth=depth + 1)
    elif isinstance(value, list):
        for part in value:
            is_float, is_int = with_nan and type(part) is float, type(part) is int and abs(part) < 2**63
            if not (is_float or is_int):  # as most of a fit's trace is
                check_plain(part, with_nan=with_nan, depth=depth + 1)
    elif value is not None:
        raise ValueError(f"{type(value).__name__} is no plain value")


def reason_of(error: BaseException) -> str:
    """Say why something could not be read, in a few words: the system's own for an OSError."""
    if isinstance(error, OSError):
        text = error.strerror or str(error)
    elif isinstance(error, KeyError):
        text = f"{error} is missing"
    elif isinstance(error, UnicodeError):
        text = "its text is not UTF-8"
    else:
        text = (str(error).splitlines() or [""])[0] or type(error).__name__
    return text.encode(errors="backslashreplace").decode()[:_LONGEST]


def _check_regular(path: Path, found: os.stat_result, largest: float) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise OSError(errno.EINVAL, f"{kind}, not a file", str(path))
    if found.st_size > largest:
        raise OSError(errno.EFBIG, "File too large", str(path))


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands there twice")
    return found
