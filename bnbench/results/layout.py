"""Where every file of a results folder lies, and how it is written.

A results folder belongs to one protocol::

    results/quick/
      protocol.json                            the protocol and its hash
      execution.json                           the chunk that its fits are computed with
      config.toml                              what the last run was asked for (asked.py)
      fits/plain_p0.100_seed1.parquet          landscape; summary, trace, provenance in its metadata
      failures/bn_p0.300_seed2.json            a fit that failed, and why (failures.py)
      planes/plain_p0.100_seed1.safetensors    the fitted plane, where it was asked for (planes.py)
      running/bn_p0.400_seed2.lock, .json, .pt a fit under way: its claim and how far it is (claims.py),
                                               where it goes on when it is cut off (checkpoints.py)
      evaluations/                             planes measured again (evaluations.py)
      smoothness/plain_seed1.parquet           an ordinary network measured along training (smoothness.py)
      smoothness/planes/plain_p0.1….parquet    black pixels of a fitted plane, measured likewise
      superseded/2026-11-23T10-00-00/…         what --force has replaced

A fit is done when its file exists: files appear whole (temporary file, fsync, rename) or not at all.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bnbench.process.writers import remove_strays, writer_name
from bnbench.protocol.protocol import FitKey, Protocol

_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF}  # file systems that cannot
_WRITTEN = ("fits", "failures", "running", "planes")  # folders of a fit's files
_OF_PLANES = Path("smoothness", "planes")


def fit_name(key: FitKey) -> str:
    """Return the file name of a fit, without its ending; of an own arm's name the colon becomes ``-``."""
    return f"{_arm_name(key.arm)}_p{key.p:.3f}_seed{key.seed}"


def is_named_for(path: Path, arm: str) -> bool:
    """Say whether a file bears the name of a fit of this arm; whether it holds one, a reader finds out."""
    return re.fullmatch(rf"{re.escape(_arm_name(arm))}_p[0-9]\.[0-9]{{3}}_seed[0-9]+", path.stem) is not None


def _arm_name(arm: str) -> str:
    return re.sub(r"[^\w.-]", "-", arm)


def fit_path(folder: Path, key: FitKey) -> Path:
    """Return where a fit's file lies, whether it exists or not."""
    return folder / "fits" / f"{fit_name(key)}.parquet"


def failure_path(folder: Path, key: FitKey) -> Path:
    """Return where a failed fit's record lies, whether it exists or not."""
    return folder / "failures" / f"{fit_name(key)}.json"


def lock_path(folder: Path, key: FitKey) -> Path:
    """Return the file that a fit is claimed by, whether it exists or not."""
    return folder / "running" / f"{fit_name(key)}.lock"


def progress_path(folder: Path, key: FitKey) -> Path:
    """Return where a fit under way says how far it is, whether it exists or not."""
    return folder / "running" / f"{fit_name(key)}.json"


def checkpoint_path(folder: Path, key: FitKey) -> Path:
    """Return where a fit's checkpoint lies, whether it exists or not."""
    return folder / "running" / f"{fit_name(key)}.pt"


def lock_paths(folder: Path) -> set[Path]:
    """Return the locks of fits under way, or cut off."""
    return set(_visible(folder / "running", ".lock"))


def begun_paths(folder: Path) -> set[Path]:
    """Return the locks and checkpoints: what is left of a fit under way, or cut off."""
    return lock_paths(folder) | set(_visible(folder / "running", ".pt"))


def partial_paths(folder: Path, key: FitKey) -> list[Path]:
    """Return the files of a fit that a killed process was writing, or that one is writing at this moment."""
    return [path for name in _WRITTEN for path in (folder / name).glob(f".{fit_name(key)}.*")]


def clear_strays(folder: Path) -> None:
    """Remove half-written files of dead processes from a results folder; those of living ones are left alone."""
    of_smoothness = [Path("smoothness"), _OF_PLANES]
    parts = [Path(), *map(Path, _WRITTEN), *of_smoothness, *(part / "running" for part in of_smoothness)]
    remove_strays(folder / part for part in parts)


def config_path(folder: Path) -> Path:
    """Return the file that says what the last run was asked for, whether it exists or not."""
    return folder / "config.toml"


def execution_path(folder: Path) -> Path:
    """Return the file that says how many pixels are computed at once, whether it exists or not."""
    return folder / "execution.json"


def plane_path(folder: Path, key: FitKey) -> Path:
    """Return where a fit's plane lies, whether it exists or not."""
    return folder / "planes" / f"{fit_name(key)}.safetensors"


def plane_paths(folder: Path) -> list[Path]:
    """Return what stands where planes of fits do, sorted by name."""
    return _visible(folder / "planes", ".safetensors")


def evaluations_folder(results: Path) -> Path:
    """Return where planes below a folder are measured again unless it is said otherwise, whether it exists or not."""
    return results / "evaluations"


def smoothness_path(results: Path, key: FitKey, *, of_plane: bool = False) -> Path:
    """Return where measures of smoothness lie, of a network along training (p is no part of it) or of a fit's plane."""
    if of_plane:
        return results / _OF_PLANES / f"{fit_name(key)}.parquet"
    arm, _, _ = fit_name(key).rpartition("_p")
    return results / "smoothness" / f"{arm}_seed{key.seed}.parquet"


def smoothness_paths(results: Path, *, of_planes: bool = False) -> list[Path]:
    """Return what stands where such files do, sorted by name."""
    return _visible(results / (_OF_PLANES if of_planes else "smoothness"), ".parquet")


def evaluation_path(out: Path, protocol: Protocol, key: FitKey, name: str, kind: str = "summaries") -> Path:
    """Return where one evaluation of a fit's plane lies below a folder of evaluations (evaluations.py)."""
    return out / protocol.id / kind / f"{fit_name(key)}_{name}.parquet"


def evaluation_paths(out: Path, kind: str = "summaries") -> list[Path]:
    """Return the files of one kind below a folder of evaluations, sorted."""
    return [path for one in sorted(out.glob("*")) for path in _visible(one / kind, ".parquet")]


def progress_paths(folder: Path) -> list[Path]:
    """Return what fits under way, or cut off, have said, sorted by name."""
    return _visible(folder / "running", ".json")


def fit_paths(folder: Path) -> list[Path]:
    """Return what stands where files of finished fits do, sorted by name; a reader finds out whether it is one.

    Raises:
        OSError: their folder is there and cannot be listed, or is none: nobody may take that for a sweep without fits.
    """
    paths = _visible(folder / "fits", ".parquet")
    if not paths and (folder / "fits").is_file():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder / "fits"))
    return paths


def is_there(path: Path) -> bool:
    """Say whether anything of this name is there, a link that leads nowhere included."""
    return os.path.lexists(path)


def has_fits(folder: Path) -> bool:
    """Say whether a file of a finished fit is there, whole or not; a folder of that name is none."""
    return any(path.is_file() for path in fit_paths(folder))


def failure_paths(folder: Path) -> list[Path]:
    """Return the records of failed fits, sorted by name."""
    return _visible(folder / "failures", ".json")


def _visible(folder: Path, ending: str) -> list[Path]:
    """Return what a folder holds of one ending, sorted by name, without what a system or editor has put beside it.

    Raises:
        OSError: the folder is there and cannot be listed, or a link stands for it that leads to none.
    """
    try:
        paths = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        if folder.is_symlink():  # such as a link to a disk that is not mounted: nobody may take it for empty
            raise
        return []
    return [path for path in paths if path.name.endswith(ending) and not path.name.startswith(".")]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time into a folder's business, where its file system has locks."""
    file = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def write_atomically(path: Path, content: bytes, *, durable: bool = True, replace: bool = True) -> None:
    """Write a file that appears whole or not at all; if ``durable``, even if the machine stops.

    Args:
        path: where; its folder exists.
        content: all of it.
        durable: wait until the disk has it.
        replace: whether to replace a file that is there; if not, the first one stays.
    """
    temporary = path.with_name(f".{path.name}.{writer_name()}-{secrets.token_hex(4)}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            with suppress(FileExistsError):
                _link(temporary, path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        error.filename = str(path)  # of a write the system names no file, and of the rest one that nobody asked for
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Wait until the disk has a folder's names: without them a whole file may lack its own after a power cut."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(file)


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, unless that is taken."""
    try:
        target.hardlink_to(source)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: at the same instant the second may win, later it does not
        if not target.exists():
            source.replace(target)
