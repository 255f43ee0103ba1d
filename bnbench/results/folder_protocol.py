"""The protocol that a results folder belongs to: its file, and whether another sweep may use the folder."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from bnbench.process.reading import read_file, read_json, reason_of
from bnbench.protocol.knob_text import shown_text
from bnbench.protocol.protocol import Protocol
from bnbench.results import layout
from bnbench.results.store import StoreError, parse_fit

FOLDER_FORMAT = 1  # of what lies beside the fits


def check_folder(folder: Path, protocol: Protocol, *, with_images: bool = True) -> None:
    """Check that a results folder is free for a protocol: not there, without fits done or begun, or its own.

    Args:
        folder: the results folder.
        protocol: what is asked.
        with_images: whether the protocol's ``content`` is settled; before the data are loaded it is not.

    Raises:
        StoreError: it holds fits of another protocol, what ``bend`` has left, or a protocol that cannot be read, or is
            no folder.
    """
    check_no_file_in_the_way(folder)
    try:
        stored = _stored_protocol(folder)
    except OSError as error:
        raise StoreError(
            f"--out {folder} cannot be read ({error.filename or folder}: {reason_of(error)}); nothing was computed: "
            "give a folder that you may read."
        ) from error
    if stored is None:
        return
    same = replace(protocol, content=stored.content)  # but for the images
    if with_images and stored.hash == same.hash != protocol.hash:
        raise StoreError(
            f"--out {folder} holds fits on {stored.images}, and here are {protocol.images}; both are kept apart: "
            f"give another folder, such as --out {folder.parent / protocol.id}, or --data-folder with those images."
        )
    if stored.hash != same.hash:
        raise StoreError(
            f"--out {folder} holds fits of another protocol ({differences_text(stored, protocol)}); "
            f"both are kept apart: give another folder, such as --out {folder.parent / protocol.id}."
        )


def differences_text(there: Protocol, here: Protocol) -> str:
    """Say in which knobs a stored protocol differs from the one that is asked for: ``steps 120 there, 50 here``."""
    text = ", ".join(
        f"{name} {shown_text(name, other)} there, {shown_text(name, own)} here"
        for name, (other, own) in there.differences(here).items()
    )
    return text or "another revision of bnbench"


def check_no_file_in_the_way(folder: Path) -> None:
    """Check that a folder, and each one above it, is a folder or not there yet.

    Raises:
        StoreError: it is not.
    """
    there = next(filter(layout.is_there, (folder, *folder.parents)))
    if not there.is_dir():
        raise StoreError(
            f"--out {folder} cannot be written ({there} is no folder); give a folder that you may write to."
        )


def _stored_protocol(folder: Path) -> Protocol | None:
    """Return the protocol that a folder belongs to; None where it is not there, or nothing was begun in it.

    Raises:
        StoreError: it holds what ``bend`` has left, or a protocol that cannot be read.
        OSError: it cannot be listed.
    """
    if not layout.is_there(folder / "protocol.json"):
        if (folder / "landscapes").is_dir():  # bend's from its first step; planes of both would share their names
            raise StoreError(f"--out {folder} holds what bnbench bend has left; give another folder.")
        return _protocol_of_fits(folder)
    is_begun = layout.has_fits(folder) or layout.begun_paths(folder) or layout.smoothness_paths(folder)
    return read_protocol(folder) if is_begun else None


def _protocol_of_fits(folder: Path) -> Protocol | None:
    """Return the protocol of a folder's first whole fit: of one that has lost its protocol.json nothing else tells."""
    for path in layout.fit_paths(folder):
        with suppress(Exception):  # as in fits.read_fit; what is damaged is named when it is read as a fit
            return parse_fit(read_file(path)).protocol
    return None


def open_folder(folder: Path, protocol: Protocol) -> None:
    """Make a results folder for a protocol, or go on with one that is its own.

    Raises:
        StoreError: it cannot be written, or it belongs to another protocol.
    """
    check_folder(folder, protocol)
    stored = {"format": FOLDER_FORMAT, "hash": protocol.hash, "protocol": protocol.as_dict()}
    try:
        for name in ("fits", "running"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        layout.clear_strays(folder)
        layout.write_atomically(folder / "protocol.json", (json.dumps(stored, indent=2) + "\n").encode())
    except OSError as error:
        raise StoreError(
            f"--out {folder} cannot be written ({error.strerror}); give a folder that you may write to."
        ) from error


def read_protocol(folder: Path) -> Protocol:
    """Return the protocol of a results folder.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    path = folder / "protocol.json"
    try:
        stored = read_json(path)
        protocol = Protocol.from_dict(stored["protocol"])
        if stored["hash"] != protocol.hash:
            raise ValueError("its hash is not that of the protocol")
    except FileNotFoundError as error:
        raise StoreError(
            f"{path} is not there, so nobody knows what the fits beside it are of; "
            "the bnbench run that they are from writes it anew."
        ) from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({reason_of(error)}); nothing in its folder is used.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} is not a protocol that this version reads ({reason_of(error)}); move the folder away."
        ) from error
    return protocol
