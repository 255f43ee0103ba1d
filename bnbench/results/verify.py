"""Every file of some results folders, read as their readers read them: which of them are damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bnbench.errors import RequestError
from bnbench.process.reading import read_file, reason_of
from bnbench.process.writers import remove_strays_of
from bnbench.results import digests, layout, tables
from bnbench.results.asked import read_grid
from bnbench.results.chunks import read_chunk
from bnbench.results.evaluations import read_kind
from bnbench.results.failures import read_failure
from bnbench.results.fits import read_fit, read_member
from bnbench.results.folder_protocol import read_protocol
from bnbench.results.folders import find_sweeps
from bnbench.results.store import StoreError
from bnbench.wording import counted

_LISTED = ("fits", "planes")  # what SHA256SUMS names: the rest changes with each run, or comes and goes
_EVALUATED = ("summaries", "landscapes")


@dataclass
class Verified:
    """What was found.

    Attributes:
        checked: number of files.
        damaged: each file that cannot be believed, and what is wrong with it, in a sentence.
        without_digest: files of earlier versions, of which only what they must be could be checked.
    """

    checked: int = 0
    damaged: dict[Path, str] = field(default_factory=dict)
    without_digest: list[Path] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for machines."""
        damaged = [{"file": str(path), "reason": reason} for path, reason in self.damaged.items()]
        unsure = [str(path) for path in self.without_digest]
        return {"checked": self.checked, "damaged": damaged, "without_digest": unsure}


def verify(root: Path) -> Verified:
    """Check every file of the results folders at or below a folder, and of a bent landscape in it.

    Raises:
        StoreError: nothing of bnbench is there.
    """
    found = Verified()
    folders, unlisted = find_sweeps(root)
    if unlisted:
        found.damaged[root] = " ".join(unlisted)
    for folder in dict.fromkeys([*folders, root]):
        _verify_folder(folder, found)
    if not found.checked and not found.damaged:
        raise StoreError(f"{root} holds no results of bnbench; give a folder that it wrote, such as results/quick.")
    return found


def record(root: Path) -> list[Path]:
    """Write the list of digests of each results folder at or below a folder: of the fits and planes that it holds now.

    Returns:
        The lists.

    Raises:
        StoreError: a file is damaged, or differs from what an earlier list says, which is moved away by hand; or
            nothing of bnbench is there.
        OSError: a list cannot be written.
    """
    folders, _ = find_sweeps(root)
    if damaged := verify(root).damaged:
        raise StoreError(next(iter(damaged.values())))
    remove_strays_of(map(digests.sums_path, folders))
    for folder in folders:
        paths = [path for name in _LISTED for path in sorted((folder / name).glob("[!.]*")) if path.is_file()]
        lines = [f"{digests.sum_of_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in paths]
        layout.write_atomically(digests.sums_path(folder), "".join(lines).encode())
    return [digests.sums_path(folder) for folder in folders]


def _verify_folder(folder: Path, found: Verified) -> None:
    sums = _listed(folder, found)
    for path, has_digest in _checks(folder):
        name = path.relative_to(folder).as_posix()
        try:
            is_sure = has_digest(path)
            if name in sums and digests.sum_of_file(path) != sums[name]:
                raise StoreError(f"{path} is another file than SHA256SUMS says.")
        except FileNotFoundError:
            continue
        except (RequestError, OSError) as error:
            found.damaged[path] = str(error)
        else:
            found.without_digest += [] if is_sure or name in sums else [path]
        found.checked += 1
    for name in sums:
        if not layout.is_there(folder / name):
            found.damaged[folder / name] = f"{folder / name} is not there, and SHA256SUMS names it."


def _listed(folder: Path, found: Verified) -> dict[str, str]:
    """Return the digest of each file that a folder's list names."""
    path = digests.sums_path(folder)
    try:
        sums = digests.read_sums(folder)
    except OSError as error:
        found.damaged[path] = f"{path} cannot be read ({reason_of(error)})."
        return {}
    if sums.odd:
        odd = counted(len(sums.odd), "line")
        found.damaged[path] = f"{path} has {odd} that sha256sum does not write, such as {sums.odd[0][:80]!r}."
    return sums.of_files


def _checks(folder: Path) -> Iterator[tuple[Path, Callable[[Path], bool]]]:
    """Yield each file of a folder with what reads it whole and says whether it has a digest, or what is as good."""
    for path, read in (
        (folder / "protocol.json", read_protocol),
        (layout.config_path(folder), read_grid),
        (layout.execution_path(folder), read_chunk),
    ):
        if layout.is_there(path):
            yield path, _of_folder(read)
    yield from ((path, _fit) for path in layout.fit_paths(folder))
    yield from ((path, _failure) for path in layout.failure_paths(folder))
    yield from ((path, _plane) for path in sorted((folder / "planes").glob("[!.]*.safetensors")))
    yield from ((path, _checkpoint) for path in sorted((folder / "running").glob("[!.]*.pt")))
    for kind in _EVALUATED:
        for path in layout.evaluation_paths(layout.evaluations_folder(folder), kind):
            yield path, _evaluation
    for name in ("landscapes", "frames", "smoothness", "smoothness/planes"):
        yield from ((path, _table) for path in sorted((folder / name).glob("[!.]*.parquet")))


def _of_folder(read: Callable[[Path], object]) -> Callable[[Path], bool]:
    def check(path: Path) -> bool:
        read(path.parent)
        return True  # short text, whose meaning its reader checks

    return check


def _fit(path: Path) -> bool:
    folder = path.parent.parent
    if layout.is_there(folder / "protocol.json"):
        read_member(path, read_protocol(folder))
    else:
        read_fit(path)
    return tables.has_digest(read_file(path))


def _failure(path: Path) -> bool:
    read_failure(path)
    return True


def _plane(path: Path) -> bool:
    from bnbench.results.planes import read_plane_details  # here, because it loads torch

    return read_plane_details(path).has_digest


def _checkpoint(path: Path) -> bool:
    from bnbench.results.checkpoints import read_checkpoint  # here, because it loads torch

    return read_checkpoint(path)[1]


def _evaluation(path: Path) -> bool:
    read_kind(path, path.parent.name)
    return tables.has_digest(read_file(path))


def _table(path: Path) -> bool:
    try:
        return tables.read_table(read_file(path))[1]
    except FileNotFoundError:
        raise
    except Exception as error:  # as in fits.read_fit
        raise StoreError(f"{path} is not a whole table ({reason_of(error)}).") from error
