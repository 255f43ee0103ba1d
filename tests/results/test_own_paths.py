"""What is stored names no folder of the user's."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnbench.mpo.fit import Fit
from bnbench.protocol.protocol import Grid
from bnbench.results import layout
from bnbench.results.asked import effective_config
from bnbench.results.folder_protocol import open_folder
from bnbench.results.own_paths import own_path, without_own_paths
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.runner import Runner
from tests.fits import TINY

HOME, HERE = Path("/somebody"), Path("/somebody/here")


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: HOME)
    monkeypatch.setattr(Path, "cwd", lambda: HERE)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ('File "/somebody/here/my_arms.py", line 3', 'File "./my_arms.py", line 3'),
        ("/somebody/.venv/lib/torch.py", "~/.venv/lib/torch.py"),
        ("in /somebody.", "in ~."),
        ("/somebody/here/results/own/fits/a.parquet", "own/fits/a.parquet"),
        ("/somebody-else/x, /somebody2/y", "/somebody-else/x, /somebody2/y"),
        ("/mnt/somebody/x", "/mnt/somebody/x"),
        ("/usr/lib/python3/torch.py", "/usr/lib/python3/torch.py"),
    ],
)
def test_a_text_is_stored_without_them(text: str, stored: str) -> None:
    assert without_own_paths(text, HERE / "results" / "own") == stored


@pytest.mark.parametrize(
    ("path", "stored"),
    [
        (HERE / "data", "data"),
        (HOME / "pets", "~/pets"),
        (Path("/srv/images"), "/srv/images"),
        (Path("results/own"), "results/own"),
        (HERE, "."),
    ],
)
def test_a_path_is_stored_so_that_it_is_found_again(path: Path, stored: str) -> None:
    assert own_path(path) == stored
    config = effective_config(TINY, Grid(("plain",), (0.5,), (1,)), {"out": path, "data_folder": path})
    assert config["data-folder"] == stored
    assert not Path(config["out"]).is_absolute()


def test_the_record_of_a_failure_names_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = Path(__file__).parents[2]
    monkeypatch.setattr(Path, "cwd", lambda: package)

    def fails(fit: Fit) -> None:
        raise ValueError(f"{tmp_path}/results/x and {HOME}/y")

    monkeypatch.setattr(Fit, "advance", fails)
    folder = tmp_path / "results"
    open_folder(folder, TINY)
    plan = plan_sweep(folder, TINY, Grid(("plain",), (0.5,), (1,)))
    list(Runner(plan, Execution(make_slots(("cpu",), 1, 1)), Inline()).outcomes())
    (record,) = layout.failure_paths(folder)
    stored = record.read_text()
    assert "results/x and ~/y" in stored
    assert str(tmp_path) not in stored
    assert f"{package}/" not in stored
