"""bnbench status --serve: a page for this machine alone that follows a sweep, and changes nothing."""

from __future__ import annotations

import http.client
import io
import json
import math
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from bnbench.cli.group import cli
from bnbench.errors import RequestError
from bnbench.live import view as view_module
from bnbench.live.server import LiveServer
from bnbench.live.view import View
from bnbench.protocol.identity import identity_of
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import layout
from bnbench.results.asked import effective_config, write_config
from bnbench.results.claims import Progress, claim, write_progress
from bnbench.results.failures import Failure, write_failure
from bnbench.results.fits import read_fit
from tests.cli.test_cli import bnbench
from tests.synthetic import SMALL, write_sweep

GRID = Grid(("plain", "bn"), (0.3, 0.5), (1, 2))
RUNNING, DONE, TO_DO = FitKey("plain", 0.5, 2), FitKey("bn", 0.3, 1), FitKey("bn", 0.5, 2)
TRACE = [[0, 2.3, 2.25], [50, 1.5, 2.4], [100, 0.9, 2.6]]

PROGRAM = """
import json, os, signal, sys
from bnbench.cli import main
from bnbench.live.server import LiveServer
def look_and_end(server):
    (sweep,) = json.loads(server.view.status())["sweeps"]
    assert server.view.picture("loss", sweep["fits"][0]["digest"])
    assert "torch" not in sys.modules
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()
LiveServer.serve_forever = look_and_end
sys.argv = ["bnbench", "status", sys.argv[1], "--serve", "--port", "0"]
main()
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Six fits of eight that were asked for."""
    folder = tmp_path / "results" / "own"
    write_sweep(folder, skip=[("plain", 0.5, 2), ("bn", 0.5, 2)])
    write_config(folder, effective_config(SMALL, GRID, {}))
    return folder


@contextmanager
def served(folder: Path) -> Iterator[LiveServer]:
    with LiveServer(folder, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(
    server: LiveServer, path: str, method: str = "GET", host: str | None = None
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    try:
        connection.request(method, path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def told(server: LiveServer) -> dict[str, Any]:
    server.view._looked = -60.0  # an answer of before is older than a second
    found: dict[str, Any] = json.loads(ask(server, "/status.json")[1])
    return found


def fits_of(server: LiveServer) -> dict[FitKey, dict[str, Any]]:
    (found,) = told(server)["sweeps"]
    return {FitKey(fit["arm"], fit["p"], fit["seed"]): fit for fit in found["fits"]}


def run_a_fit(folder: Path, key: FitKey = RUNNING) -> None:
    """Say of a fit that it has taken 100 steps."""
    at = time.time()
    write_progress(
        folder, Progress(key.arm, key.p, key.seed, "cpu#1", "ab", 1, "t", at - 40, 0, 100, 300, 0.5, 0.25, at, TRACE)
    )


def test_it_follows_a_sweep_while_it_is_written(sweep: Path) -> None:
    before = sorted(sweep.rglob("*"))
    with served(sweep.parent) as server:
        assert [fit["kind"] for fit in fits_of(server).values()].count("done") == 6
        with claim(sweep, RUNNING):
            run_a_fit(sweep)
            fit = fits_of(server)[RUNNING]
            assert (fit["kind"], fit["step"], fit["steps"], fit["trace"]) == ("running", 100, 300, TRACE)
            assert "100/300" in fit["words"]
        write_failure(sweep, Failure(TO_DO, identity_of(TO_DO, SMALL), "error", "it ran out of luck"))
        assert "luck" in fits_of(server)[TO_DO]["words"]
        layout.failure_path(sweep, TO_DO).unlink()
        write_sweep(sweep)
        assert {fit["kind"] for fit in fits_of(server).values()} == {"done"}
        shutil.rmtree(sweep)
        assert told(server)["sweeps"] == []
    assert not any(path.exists() for path in before)


def test_an_own_arm_goes_by_its_functions_name_and_the_whole_one_is_told(tmp_path: Path) -> None:
    write_sweep(tmp_path / "own", arms=("plain", "package.module:normalized"), probs=(0.5,), seeds=(1,))
    with served(tmp_path) as server:
        (found,) = told(server)["sweeps"]
    assert {fit["arm"] for fit in found["fits"]} == {"plain", "normalized"}
    assert "normalized is package.module:normalized" in found["counts"]


def test_a_finished_landscape_is_a_picture_of_its_numbers(sweep: Path) -> None:
    with served(sweep) as server:
        digest = fits_of(server)[DONE]["digest"]
        shown = {}
        for kind in ("mask", "accuracy", "loss"):
            status, content, headers = ask(server, f"/{kind}/{digest}.png")
            assert (status, headers["content-type"]) == (200, "image/png")
            shown[kind] = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int).sum(axis=-1).ravel()
    table = read_fit(layout.fit_path(sweep, DONE)).landscape
    np.testing.assert_array_equal(shown["mask"] == 0, table["black"])
    assert np.corrcoef(shown["accuracy"], table["test_accuracy"])[0, 1] < -0.9  # dark is high
    assert np.corrcoef(shown["loss"], np.log(table["test_loss"]))[0, 1] > 0.9  # dark is low


@pytest.mark.parametrize(
    ("path", "method", "host", "expected"),
    [
        ("/", "GET", None, 200),
        ("/", "HEAD", None, 200),
        ("/live.js", "GET", "localhost:{port}", 200),
        ("/", "GET", "evil.example:{port}", 403),
        ("/status.json", "GET", "127.0.0.1.evil.example:{port}", 403),
        ("/status.json", "GET", "localhost.evil.example", 403),
        ("/status.json", "GET", "127.0.0.1:{port}@evil.example", 403),
        ("/status.json", "GET", "127x0.0.1:{port}", 403),
        ("/", "GET", "127.0.0.1:9000", 200),  # another port leads here through ssh -L
        ("/", "GET", "127.0.0.1", 200),  # port 80, which a browser leaves out
        ("/../view.py", "GET", None, 404),
        ("/live.js/../server.py", "GET", None, 404),
        ("/%2e%2e/%2e%2e/etc/passwd", "GET", None, 404),
        ("//etc/passwd", "GET", None, 404),
        ("/accuracy/" + 64 * "0" + ".png", "GET", None, 404),
        ("/black/" + 64 * "0" + ".png", "GET", None, 404),
        ("/status.json", "POST", None, 501),
        ("/status.json", "DELETE", None, 501),
    ],
)
def test_only_known_paths_are_read_and_only_from_here(
    tmp_path: Path, path: str, method: str, host: str | None, expected: int
) -> None:
    with served(tmp_path) as server:
        assert server.server_address[0] == "127.0.0.1"
        status, content, headers = ask(server, path, method, host and host.format(port=server.server_port))
    assert status == expected
    assert "default-src 'none'" in headers["content-security-policy"]
    assert not (method == "HEAD" and content)
    assert b"root:" not in content


@pytest.mark.parametrize(
    ("hosts", "expected"), [((), 403), (("localhost", "evil.example"), 403), (("localhost",), 200)]
)
def test_a_request_names_one_host(tmp_path: Path, hosts: tuple[str, ...], expected: int) -> None:
    with served(tmp_path) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        connection.putrequest("GET", "/status.json", skip_host=True)
        for host in hosts:
            connection.putheader("Host", host)
        connection.endheaders()
        assert connection.getresponse().status == expected
        connection.close()


def test_an_empty_folder_and_damaged_files_are_said(tmp_path: Path, sweep: Path) -> None:
    (tmp_path / "empty").mkdir()
    with served(tmp_path / "empty") as server:
        assert "no results" in told(server)["note"]
        assert ask(server, "/")[0] == 200
    damaged = layout.fit_path(sweep, DONE)
    with served(sweep.parent) as server:
        digest = fits_of(server)[DONE]["digest"]
        damaged.write_bytes(damaged.read_bytes()[:200])
        assert ask(server, f"/loss/{digest}.png")[0] == 404, "it was whole at the last look"
        assert fits_of(server)[DONE]["kind"] == "unreadable"
        (found,) = told(server)["sweeps"]
        assert damaged.name in "".join(found["broken"])
        (sweep.parent / "other").mkdir()
        (sweep.parent / "other" / "protocol.json").write_text("{")
        assert "protocol.json" in "".join(told(server)["broken"])


def test_windows_that_ask_at_once_have_it_look_once(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "_AT_MOST_EVERY", math.inf)  # however slow this machine is
    view = View(sweep)
    view._looked = -math.inf
    first = view.status()
    write_sweep(sweep)
    assert view.status() == first


def test_a_port_in_use_and_options_that_contradict_are_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RequestError, match=str(port)):
            LiveServer(tmp_path, port)
        serve = ("--serve", "--port", str(port))
        for arguments in (serve, ("--serve", "--json"), ("--port", "1"), ("--serve", "--port", "70000")):
            answer = bnbench("status", str(tmp_path), *arguments, cwd=tmp_path)
            assert answer.returncode == 2
            assert len(answer.stderr.splitlines()) == 1
            assert "--port" in answer.stderr or "--serve" in answer.stderr


def test_ctrl_c_ends_it_as_it_ends_watching(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(server: LiveServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LiveServer, "serve_forever", interrupt)
    answer = CliRunner().invoke(cli, ["status", str(sweep), "--serve", "--port", "0"])
    assert answer.exit_code == 0
    assert answer.output.startswith("http://127.0.0.1:")


@pytest.mark.nightly
def test_as_a_program_it_ends_at_a_signal_and_never_loads_torch(sweep: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(sweep)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("http://127.0.0.1:")
