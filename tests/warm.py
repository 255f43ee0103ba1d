"""Commands in processes of their own that have nothing to import any more.

``python -m bnbench`` spends five processor seconds on importing torch, and each of its workers as much again. Here one
process imports all of that once, and forks for each command: what a test gets has a process id, a session, streams and
an exit code of its own, takes real signals, and ends as Python ends. Its joblib workers are forked from it in the same
way. What a command does while it imports, a test has to look at with a cold start (``tests.shell.Running``, ``cold``),
as ``nox -s torture`` and ``nox -s smoke`` do throughout.

A fork has what its process had: so this process imports and does nothing else. It starts no thread, computes no
gradient and touches no GPU. All of pytest's workers share it: the first that asks starts it, and it ends with the last.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import json
import os
import pickle
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

PACKAGE = Path(__file__).parent.parent
FOLDER = "BNBENCH_WARM"  # a variable: where those who share a process that forks find it
IMPORTED = (  # what a sweep, a report and a worker of a cluster come to import sooner or later
    *(
        "bnbench.cli.group",
        "bnbench.check.measured",
        "bnbench.sweep.sweep",
        "bnbench.sweep.watching",
        "tests.foreign_arms",
    ),
    *("torch._dynamo", "pytest", "distributed.cli.dask_worker", "distributed.cli.dask_scheduler"),
)
QUICKER: tuple[tuple[str, str, object], ...] = (
    ("bnbench.sweep.timed_steps", "_LONG_STEP", 0.0),  # and times one step before it begins, rather than six
    ("bnbench.sweep.timed_steps", "_LONG", 0.0),  # or than half a second of them, while the other cores are kept busy
    ("bnbench.sweep.timed_steps", "_FEWEST", 1),
    ("bnbench.sweep.cost", "_VISITS", 16),  # of few pixels
    ("bnbench.sweep.timed_landscape", "_ENOUGH", 0.0),  # and the first few images of a landscape tell enough
    ("bnbench.sweep.cost", "free_cached_memory", lambda device: None),  # and looks for garbage then, of which is little
    ("bnbench.sweep.fits_per_device", "free_cached_memory", lambda device: None),
    ("bnbench.cli.status", "_LOOK_EVERY", 0.2),  # watching looks again in seconds
)
_CAN_FORK = sys.platform == "linux"  # macOS's own libraries do not bear a fork without exec


def quicken() -> None:
    """Make this process quicker to test, as ``QUICKER`` says."""
    for name, setting, value in QUICKER:
        module = vars(importlib.import_module(name))
        assert setting in module, f"{name} has no {setting}"
        module[setting] = value


Answer = TypeVar("Answer")


class Process(Protocol):
    """What this module and :class:`subprocess.Popen` have in common."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, number: int, /) -> None: ...

    def kill(self) -> None: ...


class _Warm:
    """A process forked for one command; as a :class:`subprocess.Popen`."""

    def __init__(self, pid: int, ended: int) -> None:
        self.pid, self._ended = pid, ended
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def send_signal(self, number: int, /) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._ended], [], [], timeout)[0]:
            told = os.read(self._ended, 16)
            os.close(self._ended)
            if not told:
                raise RuntimeError(f"the process that forks is gone, and nobody knows how {self.pid} ended")
            self.returncode = int(told)
        return self.returncode


def start(
    module: str,
    arguments: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    streams: Sequence[int],
    before: Sequence[str] = (),
    cold: bool = False,
) -> Process:
    """Run ``python -m module`` in a process and a session of its own.

    Args:
        module: the module.
        arguments: its arguments.
        cwd: the folder it runs in.
        environment: all of its variables.
        streams: file descriptors that become its stdin, stdout and stderr.
        before: a command that runs the module's, such as ``unshare``: always from a cold start.
        cold: as a new interpreter, which imports everything itself.
    """
    if cold or before or not _CAN_FORK:
        command = [*before, sys.executable, "-m", module, *arguments]
        stdin, stdout, stderr = streams
        return subprocess.Popen(
            command, cwd=cwd, env=environment, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )
    ended, ends = os.pipe()
    asked = {"module": module, "arguments": list(arguments), "cwd": str(cwd), "environment": dict(environment)}
    server = _server()
    socket.send_fds(server, [json.dumps(asked).encode()], [*streams, ends])
    os.close(ends)
    return _Warm(int(server.recv(16)), ended)


def call(function: Callable[..., Answer], *arguments: object, **options: object) -> Answer:
    """What a function gives in a process of its own, whose workers are as quick to start; what it prints is passed on.

    Args:
        function: one that pickle can name, such as any at the top of a test module.
        arguments: whatever pickle can send, as its result.
        options: likewise.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "call")
        assert begin(path, function, *arguments, **options).wait(240) == 0, "it raised something, said above"
        answer: Answer = pickle.loads(path.read_bytes())
    return answer


def begin(path: Path, function: Callable[..., object], *arguments: object, **options: object) -> Process:
    """As :func:`call`, but wait for nothing: what the function gives lies pickled in a file in the end."""
    path.write_bytes(pickle.dumps((function, arguments, options)))
    environment = os.environ | {"PYTHONPATH": str(PACKAGE)}
    return start("tests.call", [str(path)], cwd=Path.cwd(), environment=environment, streams=(0, 1, 2))


_connected: list[socket.socket] = []  # to the process that forks, once it is asked for


def _server() -> socket.socket:
    if not _connected:
        if FOLDER not in os.environ:  # nobody shares it
            folder = tempfile.TemporaryDirectory(prefix="bnbench-warm-")
            atexit.register(folder.cleanup)
            os.environ[FOLDER] = folder.name
        _connected.append(_connect(Path(os.environ[FOLDER])))
        atexit.register(_connected[0].close)
    return _connected[0]


def _connect(folder: Path) -> socket.socket:
    """A connection to the process that forks, which is started unless it is there."""
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with _locked(folder, fcntl.LOCK_EX):
        path = str(folder / "socket")
        if not Path(path).exists():
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as theirs:
                theirs.bind(path)
                theirs.listen()
                environment = os.environ | {"PYTHONPATH": str(PACKAGE), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
                command = [sys.executable, "-m", "tests.warm", str(theirs.fileno()), str(folder)]
                server = subprocess.Popen(command, cwd=PACKAGE, env=environment, pass_fds=[theirs.fileno()])
                atexit.register(server.wait)  # after ``close``: the last one registered is the first to run
        ours.connect(path)
    return ours


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    """Hold the lock of those who come to the process that forks, and of that process when it goes."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, how)
        yield


# What follows happens in the process that forks, and in its forks.


def _serve(listener: socket.socket, folder: Path) -> dict[str, Any] | None:
    """Fork for each request until nobody is there to ask: None then, and in a fork what it has to run."""
    ends: dict[int, tuple[int, socket.socket]] = {}  # of each process, where its exit code is awaited, and who asked
    askers: list[socket.socket] = []
    woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wakes)
    while True:
        awaited: list[socket.socket | int] = [listener, woken, *askers]
        ready, _, _ = select.select(awaited, [], [])
        if woken in ready:
            os.read(woken, 4096)
            _bury(ends)
        if listener in ready:
            askers.append(listener.accept()[0])
        for asker in [one for one in askers if one in ready]:
            content, descriptors, _, _ = socket.recv_fds(asker, 1 << 20, 4)
            if not content:
                askers.remove(asker)
                for pid in [pid for pid, (_, own) in ends.items() if own is asker]:
                    os.kill(pid, signal.SIGKILL)
                if not askers and _is_left(folder):
                    return None
                continue
            if not (pid := os.fork()):
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for one in (listener, *askers):
                    one.close()
                for descriptor in (woken, wakes, descriptors[3], *(end for end, _ in ends.values())):
                    os.close(descriptor)
                return {**json.loads(content), "streams": descriptors[:3]}
            ends[pid] = descriptors[3], asker
            for descriptor in descriptors[:3]:
                os.close(descriptor)
            asker.send(str(pid).encode())


def _is_left(folder: Path) -> bool:
    """Take the socket away, unless somebody is about to connect."""
    try:
        with _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            (folder / "socket").unlink()
    except BlockingIOError:
        return False
    except FileNotFoundError:  # the whole folder is gone
        return True
    return True


def _bury(ends: dict[int, tuple[int, socket.socket]]) -> None:
    while ends:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        descriptor, _ = ends.pop(pid)
        with suppress(BrokenPipeError):  # who asked is gone
            os.write(descriptor, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(descriptor)


def _become(module: str, arguments: list[str], cwd: str, environment: dict[str, str], streams: list[int]) -> None:
    """In a fork: be a new process that runs a module as ``python -m`` does."""
    os.setsid()
    for descriptor, stream in enumerate(streams):
        os.dup2(stream, descriptor)
        os.close(stream)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # a descriptor, for good
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = cwd
    sys.path[1:1] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.argv = [module, *arguments]
    _fork_workers()
    _run(module)


def _run(module: str) -> None:
    sys.modules.pop(module, None)  # else it would be said to be there twice
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _fork_workers() -> None:
    """Have joblib's workers forked from this process, in place of new interpreters."""
    from joblib.externals.loky.backend import fork_exec, popen_loky_posix

    execute = fork_exec.fork_exec

    def fork(command: list[str], kept: Sequence[int], env: Mapping[str, str] | None = None) -> int:
        if popen_loky_posix.__name__ not in command:
            return int(execute(command, kept, env))
        if pid := os.fork():
            return pid
        try:
            _as_after_exec({0, 1, 2, *map(int, kept)}, env or {})
            sys.argv = command[2:]
            _run(popen_loky_posix.__name__)
        except SystemExit as ended:
            os._exit(int(ended.code or 0))
        finally:
            os._exit(1)

    fork_exec.fork_exec = fork


def _as_after_exec(kept: set[int], environment: Mapping[str, str]) -> None:
    """Shut what a new program would not have: files, sockets and locks of its parent, and its handlers of signals.

    What is shut goes on as /dev/null: a number that was free could be another file's by the time that its parent's
    object of it is deleted here.
    """
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in [int(entry.name) for entry in Path("/dev/fd").iterdir()]:
        if descriptor not in kept and descriptor != nowhere:
            try:
                os.dup2(nowhere, descriptor, inheritable=False)
            except OSError:  # that of the listing itself
                continue
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(environment)
    # The package and whatever a user wrote is imported anew; a folder without __init__.py goes by the package it is in.
    files = {name: str(getattr(module, "__file__", None) or sys.prefix) for name, module in sys.modules.items()}
    for name, file in files.items():
        both = file, files.get(name.partition(".")[0], file)
        if not all(one.startswith((sys.prefix, sys.base_prefix)) for one in both):
            del sys.modules[name]
    Path("/proc/self/comm").write_text("popen_loky")  # as its command line would say


def main() -> None:
    listener, folder = socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2])
    for name in IMPORTED:
        importlib.import_module(name)
    quicken()
    gc.collect()
    gc.freeze()  # so that no fork has to look at it, and to copy it
    if asked := _serve(listener, folder):
        _become(**asked)


if __name__ == "__main__":
    main()
