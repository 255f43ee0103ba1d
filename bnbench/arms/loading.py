"""A user's own arm is imported: once, its code hashed as it was compiled, and nothing else of it left behind."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from torch import nn

from bnbench.arms.foreign_errors import first_line, first_three, is_from_outside
from bnbench.errors import ArmError
from bnbench.process.descriptors import stdout_to_stderr
from bnbench.process.python_state import read_start
from bnbench.process.replaced import Code
from bnbench.process.surroundings import put_back, read_settings
from bnbench.protocol.protocol import BUILT_IN, is_own_arm

CHILD_EXIT = 70  # exit code of a process that foreign code has forked; sysexits.h calls it a fault in the software
_BEGAN = read_start()
# Layers between bnbench.BatchNorm once started otherwise: fits of such an arm from then are of another version of it.
_SCALES_LAST = "-scales-last"
_CLOCKS_DIFFER = 2.0  # seconds; that of files and that of processes


@dataclass(frozen=True)
class _Loaded:
    module: ModuleType
    source: str  # hash of the file that was compiled; empty where there was none
    path: tuple[str, ...]  # where its modules are looked for
    spec: ModuleSpec | None  # what importlib.reload replaces

    @property
    def is_current(self) -> bool:
        """Return whether its code is still that of its file, and nobody has loaded the module again."""
        try:
            return self.module.__spec__ is self.spec and _file_hash(self.module) == self.source
        except OSError:  # the file is gone
            return False


_LOADED: dict[str, _Loaded] = {}


class _ExactLoader(SourceFileLoader):
    """Compiles a file itself, so that the hash is of the very bytes that run."""

    source = ""

    def get_code(self, fullname: str) -> CodeType:
        content = self.get_data(self.path)
        self.source = _hash(content)
        code: CodeType = self.source_to_code(content, self.path)
        return code


def arm_source(arm: str) -> str:
    """Return the hash of the file that defines a user arm's factory, as it was when this process loaded it.

    It is SHA-256's first digits; after a hyphen it may say in which of bnbench's ways its networks start. Empty for a
    built-in arm, whose code the revision covers. Files that this one imports are not part of it.

    Raises:
        ArmError: it cannot be imported.
    """
    return _loaded(arm).source if is_own_arm(arm) else ""


def import_current(arm: str) -> None:
    """Import a user's own arm, and import it anew where its file was changed or its module loaded again since.

    Raises:
        ArmError: it cannot be imported, or is a whole package, of which other modules may hold on to the old code.
    """
    name = arm.partition(":")[0]
    known = _LOADED.get(name)
    if ":" not in arm or known is None or known.is_current or sys.modules.get(name) is not known.module:
        arm_source(arm)
        return
    if hasattr(known.module, "__path__"):
        raise ArmError(
            f"--arms {arm}: {name} is a package that was changed or loaded again since this process imported it; "
            "start a new process (in a notebook, restart the kernel)."
        )
    del sys.modules[name], _LOADED[name]
    arm_source(arm)


def factory_of(arm: str) -> Callable[..., object]:
    """Return the factory of a user's own arm.

    Raises:
        ArmError: it cannot be imported, or is nothing that can be called.
    """
    name = arm.partition(":")[2]
    module = _loaded(arm).module
    try:
        factory = getattr(module, name)
    except AttributeError as error:
        raise ArmError(f"--arms {arm}: {_lacks(module, name)}") from error
    if isinstance(factory, nn.Module):
        raise ArmError(
            f"--arms {arm} is a network; give a function factory(image_shape, classes) that makes a fresh one."
        )
    if not callable(factory):
        raise ArmError(
            f"--arms {arm} is of type {type(factory).__name__}; give a function factory(image_shape, classes)."
        )
    found: Callable[..., object] = factory
    return found


def use_module_path(arm: str) -> None:
    """Look for modules where the arm's file does: it may import some of its own as late as in its first step."""
    if is_own_arm(arm):
        sys.path[:] = _loaded(arm).path


@contextmanager
def foreign_code(arm: str) -> Iterator[None]:
    """Let an arm's own code run in the block; what it has set for this process is put back afterwards.

    Raises:
        ArmError: it has replaced functions of torch or others, or raised what is no ``Exception``, such as
            ``SystemExit``; an error of its own passes as it is.
    """
    raised: BaseException | None = None
    with stdout_to_stderr():
        process, before = os.getpid(), read_settings()
        code = Code() if is_own_arm(arm) else None  # which takes longer than all else here
        try:
            yield
        except BaseException as error:
            raised = error
        if os.getpid() != process:
            os._exit(CHILD_EXIT)  # the code has forked, and this is the child: it has nothing to do here
        spoilt = code.put_back() if code else []
        spoilt += [setting.name for setting in put_back(before) if setting.spoils]
    if raised is not None and (isinstance(raised, Exception) or is_from_outside(raised)):
        raise raised
    if raised is not None:
        raise ArmError(f"--arms {arm} cannot be used: its code raised {first_line(raised)}.") from raised
    if spoilt:
        raise ArmError(
            f"--arms {arm} replaces what every other arm uses, too: {first_three(spoilt)}; subclass it, or use a copy."
        )


@contextmanager
def with_module_path(arm: str) -> Iterator[None]:
    """Let an arm's modules be found in the block; what it sets is put back, but for its streams of random numbers."""
    with stdout_to_stderr():
        before = read_settings(with_streams=False)
        use_module_path(arm)
        try:
            yield
        finally:
            put_back(before)


def _loaded(arm: str) -> _Loaded:
    name = arm.partition(":")[0]
    known = _LOADED.get(name)
    if known is None or sys.modules.get(name) is not known.module:
        try:
            with foreign_code(arm):
                known = _import(name)
        except ArmError:
            raise
        except Exception as error:
            raise _not_imported(arm, error) from error
        _LOADED[name] = known
    return known


def _lacks(module: ModuleType, name: str) -> str:
    """Say that a module lacks a function, and which functions it defines."""
    there = [
        found
        for found, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", "") == module.__name__ and not found.startswith("_")
    ]
    instead = f"; it has {first_three(there)}" if there else " and defines none"
    return f"{module.__name__} has no function {name}{instead}."


def _not_imported(arm: str, error: BaseException) -> ArmError:
    return ArmError(
        f"--arms {arm} cannot be imported ({first_line(error)}); give {', '.join(BUILT_IN)} or package.module:factory."
    )


def _import(name: str) -> _Loaded:
    """Import a module, also one that lies in the working directory."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if _may_be_outdated(name):
        del sys.modules[name]
    if name not in sys.modules:
        spec = importlib.util.find_spec(name)  # imports the packages that it is in, which may import it
        if spec is not None and name not in sys.modules and type(spec.loader) is SourceFileLoader:
            return _execute(name, spec.loader.path)
    module = importlib.import_module(name)
    return _Loaded(module, _file_hash(module), tuple(sys.path), module.__spec__)


def _may_be_outdated(name: str) -> bool:
    """Say whether a module was imported by the user, and its file written since this process began.

    Nobody knows then which code runs. A package stays: its other modules may hold on to it.
    """
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is None or spec.name != name or spec.submodule_search_locations is not None or not spec.has_location:
        return False
    is_plain = type(spec.loader) in (SourceFileLoader, _ExactLoader)
    return is_plain and Path(spec.origin).stat().st_mtime > _BEGAN - _CLOCKS_DIFFER


def _execute(name: str, path: str) -> _Loaded:
    """Run a module's file as an import would, and keep the hash of what ran."""
    found = importlib.util.find_spec(name)
    folders = found.submodule_search_locations if found else None
    loader = _ExactLoader(name, path)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader, submodule_search_locations=folders)
    if spec is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    package, _, leaf = name.rpartition(".")
    if package:
        setattr(sys.modules[package], leaf, module)
    loaded = sys.modules[name]
    return _Loaded(loaded, loader.source, tuple(sys.path), loaded.__spec__)


def _file_hash(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    return _hash(Path(file).read_bytes()) if file else ""


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12] + _SCALES_LAST * (b"BatchNorm" in content)
