"""Digests: what tells that a stored file still holds what was written.

Each is SHA-256 over names and values, not over a file's bytes: a file that another version of a library has packed
anew keeps its digest. Beside results that are kept for long, ``SHA256SUMS`` holds one over the bytes of each file, as
``sha256sum --check`` takes it: fits of format 1 have no digest of their own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from bnbench.process.reading import check_regular, read_file

CHANGED = "it was changed after it was written: its digest is of another content"
_SUMS = "SHA256SUMS"
_LARGEST = 2**28  # bytes of a list: the fits and planes of the largest sweep are in it
# A star stands before the name of a file that was read in binary; a backslash before all where the name has escapes.
_LINE = re.compile(r"(?P<escaped>\\?)(?P<digest>[0-9a-fA-F]{64}) [ *](?P<name>.+)")
_ESCAPE = re.compile(r"\\[\\nr]")
_ESCAPED = {r"\\": "\\", r"\n": "\n", r"\r": "\r"}


def digest_of(details: Any, arrays: Iterable[tuple[str, np.ndarray[Any, Any]]]) -> str:
    """Return a digest of plain values and named arrays, in hexadecimal.

    Args:
        details: what JSON can hold; the order of its names does not count.
        arrays: each array's name and values, in an order that the caller keeps: numbers of any shape, or text.
    """
    digest = hashlib.sha256(json.dumps(details, sort_keys=True).encode())
    for name, values in arrays:
        is_text = values.dtype.kind not in "biufc"
        kind = "text" if is_text else values.dtype.newbyteorder("<").str
        digest.update(f"\n{json.dumps([name, kind, list(values.shape)])}\n".encode())
        digest.update(json.dumps(values.tolist()).encode() if is_text else _bytes(values))
    return digest.hexdigest()


def _bytes(values: np.ndarray[Any, Any]) -> bytes:
    """Return numbers as bytes: the lowest first, each that is none the same."""
    if values.dtype.kind == "f" and np.isnan(values).any():
        values = np.where(np.isnan(values), values.dtype.type(np.nan), values)
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def sums_path(folder: Path) -> Path:
    """Return the list of digests of a results folder, whether it exists or not."""
    return folder / _SUMS


def sum_of(content: bytes) -> str:
    """Return the digest of a file's bytes, as the list holds it."""
    return hashlib.sha256(content).hexdigest()


def sum_of_file(path: Path) -> str:
    """Return the digest of a file's bytes without holding them: a plane may be larger than memory should be.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Sums(NamedTuple):
    """What a results folder's list says.

    Attributes:
        of_files: the digest of each file, by its path within the folder.
        odd: lines that are none, such as somebody's remarks: what they may say of a file counts for nothing.
    """

    of_files: dict[str, str]
    odd: tuple[str, ...] = ()


def read_sums(folder: Path) -> Sums:
    """Return what a results folder's list says, as ``sha256sum`` writes it: whatever its options and its escapes.

    Returns:
        Nothing where there is no list.

    Raises:
        OSError: the list cannot be read; the message names it.
    """
    path = sums_path(folder)
    try:
        now = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return Sums({})
    try:
        return _sums(path, now.st_ino, now.st_size, now.st_mtime_ns)
    except OSError as error:
        raise OSError(error.errno, f"{_SUMS}, which may name it: {error.strerror}", str(path)) from error


def is_listed_otherwise(folder: Path, name: str, content: bytes) -> bool:
    """Return whether a results folder's list names a file, and says that it holds something else.

    Raises:
        OSError: the list cannot be read.
    """
    listed = read_sums(folder).of_files.get(name)
    return listed is not None and listed != sum_of(content)


@lru_cache(maxsize=64)
def _sums(path: Path, *_version: int) -> Sums:
    found, odd = dict[str, str](), list[str]()
    for line in read_file(path, _LARGEST).decode(errors="replace").splitlines():
        if match := _LINE.fullmatch(line):
            name = _ESCAPE.sub(lambda one: _ESCAPED[one[0]], match["name"]) if match["escaped"] else match["name"]
            found[PurePosixPath(name).as_posix()] = match["digest"].lower()
        elif line.strip():
            odd.append(line)
    return Sums(found, tuple(odd))
