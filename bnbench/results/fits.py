"""A fit's file, read: the one function that every reader of fits calls.

A file is believed when it is what its key and protocol say that it must be (:mod:`bnbench.results.checks`). Since
format 2 it also carries a digest of all that it holds; those of format 1 have nothing but these checks.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from bnbench.process.reading import read_file, reason_of
from bnbench.protocol.protocol import Protocol
from bnbench.results import digests, layout, store
from bnbench.results.checks import ALWAYS_IN_SUMMARY, check_fit
from bnbench.results.store import FitResult, StoreError
from bnbench.results.tables import has_digest


def read_fit(path: Path) -> FitResult:
    """Read one finished fit, and check it whole.

    Raises:
        FileNotFoundError: nothing is there any more.
        StoreError: the file cannot be read, is damaged or is not what this fit must be; the message names it.
    """
    try:
        content = read_file(path)
        result = store.parse_fit(content)
        check_fit(result)
        if not has_digest(content) and digests.is_listed_otherwise(path.parent.parent, f"fits/{path.name}", content):
            raise ValueError("SHA256SUMS has another digest of it")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({reason_of(error)}); it is left out.") from error
    except Exception as error:  # damaged bytes may raise anything in the libraries that read them
        raise StoreError(
            f"{path} is not a whole bnbench fit ({reason_of(error)}); it is left out, and bnbench run computes it anew "
            "once it is moved away."
        ) from error
    return result


def read_member(path: Path, protocol: Protocol) -> FitResult:
    """Read one finished fit of a results folder: whole, of the folder's protocol, and the one that its name says.

    Raises:
        FileNotFoundError: nothing is there any more.
        StoreError: as :func:`read_fit`, or the fit is another one.
    """
    result = read_fit(path)
    if result.protocol.hash != protocol.hash:
        raise StoreError(
            f"{path} belongs to another protocol ({result.protocol.id}, not {protocol.id}); move it to its own folder."
        )
    if path.stem != layout.fit_name(result.key):
        raise StoreError(f"{path} holds the fit {result.key}, which its name denies; move it away.")
    return result


def content_of(result: FitResult) -> str:
    """Return a digest of a fit's numbers alone: two files of one fit with equal ones are one result.

    Of the summary it takes the columns that every fit has, and no course: a copy may hold measures that came later, or
    may have been measured on the way, too.
    """
    digest = hashlib.sha256(f"{result.identity} {result.key}".encode())
    for table in (result.landscape, result.summary[list(ALWAYS_IN_SUMMARY)], result.trace):
        for name in table.columns:
            values = table[name].to_numpy()
            digest.update(f"\n{name} {len(values)}\n".encode())
            digest.update(repr(values.tolist()).encode() if values.dtype == object else values.tobytes())
    return digest.hexdigest()
