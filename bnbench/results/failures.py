"""Failures are data: a record of each fit that failed, what it was and how often it was tried."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from bnbench.process.reading import read_json, reason_of
from bnbench.protocol.identity import identity_of
from bnbench.protocol.protocol import FitKey, Protocol, check_key, is_own_arm
from bnbench.results import layout, store

FORMAT = 2
_LONGEST = 100_000  # letters of a text in a record


@dataclass(frozen=True)
class Failure:
    """Why a fit has no result.

    Attributes:
        key: which fit it is.
        identity: what it was: protocol, arm and its source, p, seed. A fit that is another one by now, because
            its arm's source has changed, has not failed.
        kind: ``diverged``, ``one-colour mask``, ``out of memory``, ``killed worker``, ``timed out``,
            ``too much memory`` or ``error``.
        message: one sentence.
        traceback: where a fit's own code raised; empty otherwise.
        tries: how often it was tried.
        slot: where it ran last; empty if unknown.
        host: hash of that machine.
        time: when it failed, ISO 8601 in UTC.
    """

    key: FitKey
    identity: str
    kind: str
    message: str
    traceback: str = ""
    tries: int = 1
    slot: str = ""
    host: str = ""
    time: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


def write_failure(folder: Path, failure: Failure) -> Path:
    """Record a fit that failed: one JSON file, replaced when it fails again, gone when it succeeds."""
    record = {"format": FORMAT, **asdict(failure.key), **asdict(failure)}
    del record["key"]
    record |= {name: _readable(record[name]) for name in ("message", "traceback")}
    path = layout.failure_path(folder, failure.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    layout.write_atomically(path, (json.dumps(record, indent=2) + "\n").encode())
    return path


def _readable(text: str) -> str:
    """Return what foreign code has said such that every reader takes it: of half letters their names, of much a part.

    A name of a file that is not UTF-8 has half letters (lone surrogates), and an error may carry megabytes.
    """
    text = text.encode(errors="backslashreplace").decode()
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST // 2]}\n[…]\n{text[-_LONGEST // 2 :]}"


def concerns(failure: Failure, protocol: Protocol) -> bool:
    """Say whether a failure is of a protocol's fit; of an own arm, whose source only an import tells, each is."""
    return is_own_arm(failure.key.arm) or failure.identity == identity_of(failure.key, protocol)


def read_failure(path: Path) -> Failure:
    """Read the record of a fit that failed.

    Raises:
        FileNotFoundError: nothing is there any more.
        StoreError: it cannot be read, is damaged, or of another version; the message names it.
    """
    try:
        record = read_json(path)
        key = FitKey(**{name: record.pop(name) for name in FitKey.__dataclass_fields__})
        check_key(key)
        known = {field.name: field.type for field in fields(Failure)}
        failure = Failure(key=key, **{name: value for name, value in record.items() if name in known})
        for name, value in vars(failure).items():
            if type(value).__name__ != known[name]:
                raise ValueError(f"its {name} is {value!r}")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise store.StoreError(f"{path} cannot be read ({reason_of(error)}); it is left out.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise store.StoreError(f"{path} is not a record of a failure ({reason_of(error)}); it is left out.") from error
    return failure


def failure_of(folder: Path, key: FitKey) -> Failure | None:
    """Return the record of one fit's failure, if it failed.

    Raises:
        StoreError: the record is damaged.
    """
    try:
        return read_failure(layout.failure_path(folder, key))
    except FileNotFoundError:
        return None
