"""What the disk that holds the results refuses: found out before anything is computed, and the end of a sweep after it.

No fit can fare better than the one whose file cannot be written, so that a night of training is not lost to a disk
that takes none of it. Only what concerns one name, such as a folder in place of a fit's file, is that fit's own.
"""

from __future__ import annotations

import errno
import fcntl
import secrets
from pathlib import Path

from bnbench.process.writers import writer_name
from bnbench.protocol.protocol import FitKey
from bnbench.results import layout
from bnbench.results.store import StoreError
from bnbench.sweep.execution import Outcome, UnwritableError

_OF_ONE_NAME = {errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.EINVAL, errno.ELOOP, errno.ENAMETOOLONG}
_NO_LOCKS = (
    "its file system has no locks: mount it with them (NFS: without nolock, its lock daemon running; Lustre: with "
    "flock), or give a folder on another one"
)
_HINTS = {
    errno.ENOLCK: _NO_LOCKS,
    errno.ENOTSUP: _NO_LOCKS,
    errno.EOPNOTSUPP: _NO_LOCKS,
    errno.ENOSYS: _NO_LOCKS,
    errno.EPERM: "the folder may be immutable (lsattr -d tells)",
    errno.EACCES: "the folder or its owner has changed",
    errno.EXDEV: "a file cannot be renamed within its folder: it may be a mount point or span two file systems",
    errno.EROFS: "it is mounted read-only",
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room within your quota (quota -s tells)",
    errno.ESTALE: "the server has lost it: mount it anew",
    errno.EIO: "the disk or the network fails; the system's log may say more",
    errno.ENOENT: "put the results folder back where it was",
}


def disk_outcome(key: FitKey, error: OSError, seconds: float, lost: str = "") -> Outcome:
    """Return the outcome of a fit that the disk has failed: it leaves no record and stays to be run.

    Args:
        key: which fit.
        error: what the system said.
        seconds: spent on it.
        lost: what of this very fit is lost, in words.
    """
    where = f" {error.filename}" if error.filename else ""
    said = f"cannot write{where}: {reason_and_hint(error)}; {f'{lost}; ' if lost else ''}"
    message = f"{said}nothing that was finished before is lost"
    return Outcome(key, "failed", seconds, message=message, is_fatal=error.errno not in _OF_ONE_NAME)


def reason_and_hint(error: OSError) -> str:
    """Say what the system said, by which number, and what may help."""
    name = errno.errorcode.get(error.errno or 0, "")
    reason = f"{error.strerror or error}{f' ({name})' if name else ''}"
    hint = _HINTS.get(error.errno or 0)
    return f"{reason}; {hint}" if hint else reason


def check_opened(folder: Path) -> None:
    """Check that a results folder is still where the sweep has opened it.

    Raises:
        FileNotFoundError: its protocol is not there: writing on would make another folder that nobody can read.
        OSError: nobody can tell.
    """
    try:
        (folder / "protocol.json").lstat()
    except FileNotFoundError:
        reason = "the results folder was moved or deleted while the sweep ran"
        raise FileNotFoundError(errno.ENOENT, reason, str(folder)) from None


def check_not_gone(folder: Path, lost: str) -> None:
    """Check that a fit under way is not computed for a folder that is gone; a server may be away for a moment.

    Args:
        folder: the results folder.
        lost: which of the fit's steps are lost if it is.

    Raises:
        UnwritableError: the folder was moved or deleted.
    """
    try:
        check_opened(folder)
    except FileNotFoundError as error:
        raise UnwritableError(error, lost) from error
    except OSError:
        return


def try_folder(folder: Path, results: str = "fits", locks: str = "running") -> None:
    """Do in a results folder what a fit will do at its end and its beginning: rename a file, and lock one.

    Args:
        folder: the results folder, opened.
        results: the folder in it where files are renamed; made if it is not there.
        locks: the one where files are locked, likewise.

    Raises:
        StoreError: it cannot be done there.
    """
    name = f".trial.{writer_name()}-{secrets.token_hex(4)}"
    try:
        for part in (results, locks):
            path = folder / part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                layout.write_atomically(path, b"\0")
                if part == locks:
                    with path.open("rb") as file:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            finally:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"--out {folder} cannot be written ({reason_and_hint(error)}); nothing was computed."
        ) from error
