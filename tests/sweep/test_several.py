"""Several mask sizes: a sweep for each, planned together, the same bits as single ones, resumed and stopped alike."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bnbench as package
from bnbench.errors import RequestError
from bnbench.interactive.sizes import SizesResult
from bnbench.mpo.fit import Fit
from bnbench.protocol.mask_sizes import Size
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import layout
from bnbench.results.sweeps import read_sweep, read_sweeps
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.devices import DeviceRequest
from bnbench.sweep.execution import Execution
from bnbench.sweep.messages import Listener
from bnbench.sweep.plan import Plan
from bnbench.sweep.request import EndedSweep, SweepRequest
from bnbench.sweep.several import run_sweeps
from tests.cli.test_cli import assert_refused, bnbench
from tests.fits import TINY, status_of

RUN = ["run", "--profile", "smoke", "--probs", "0.5", "--arms", "plain", "--steps", "4", "--images", "4"]
RUN += ["--devices", "cpu", "--jobs", "1", "--widths", "2", "--strides", "2", "--chunk", "8", "--backend", "inline"]
RUN += ["--test-images", "60", "--train-images", "60"]
SIZES = ["--mask-size", "4,3x5", "--seeds", "2", "--out", "sizes"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sizes")
    done = bnbench(*RUN, *SIZES, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def fits_of(folder: Path) -> dict[str, set[str]]:
    return {path.name: {fit.name for fit in layout.fit_paths(path)} for path in folder.iterdir()}


def test_every_size_has_a_folder_and_the_bits_of_a_single_sweep(swept: Path) -> None:
    assert {name: len(fits) for name, fits in fits_of(swept / "sizes").items()} == {"4x4": 2, "3x5": 2}
    single = bnbench(*RUN, "--mask-size", "3x5", "--seeds", "2", "--out", "single", cwd=swept)
    assert single.returncode == 0, single.stderr
    ours, theirs = read_sweep(swept / "sizes/3x5"), read_sweep(swept / "single")
    assert ours.protocol == theirs.protocol
    assert ours.asked == theirs.asked
    for name in ("landscapes", "traces", "summaries"):
        pd.testing.assert_frame_equal(getattr(ours, name), getattr(theirs, name), check_exact=True)
    assert len(read_sweeps(swept / "sizes")[0]) == 2


def test_a_dry_run_plans_every_size_and_starts_none(swept: Path, tmp_path: Path) -> None:
    planned = bnbench(*RUN, *SIZES, "--dry-run", "--json", cwd=tmp_path)
    *each, together = [json.loads(line) for line in planned.stdout.splitlines()]
    assert [(plan["folder"], plan["to_run"]) for plan in each] == [("sizes/4x4", 2), ("sizes/3x5", 2)]
    assert (together["mask_sizes"], together["to_run"], together["done"]) == (2, 4, 0)
    assert not list(tmp_path.iterdir())
    more = bnbench(*RUN, *SIZES, "--seeds", "3", "--dry-run", "--json", cwd=swept)
    together = json.loads(more.stdout.splitlines()[-1])
    assert (together["to_run"], together["done"]) == (2, 4)
    assert together["seconds"] > 0  # fits of both sizes are there to go by
    people = bnbench(*RUN, *SIZES, "--dry-run", cwd=tmp_path)
    assert "4 fits" in people.stderr


def test_seeds_come_outermost_and_each_folder_knows_the_whole_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[int] = []
    advance = Fit.advance

    def stop_at_the_third(self: Fit) -> None:
        advance(self)
        if self.step == 1 and len(self.coordinates) < 900:  # steps that are timed have 30 x 30 pixels
            order.append(len(self.coordinates))
            if len(order) == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(Fit, "advance", stop_at_the_third)
        stopped = bnbench(*RUN, *SIZES, cwd=tmp_path)
    assert stopped.returncode == 128 + signal.SIGTERM, stopped.stderr
    assert order == [16, 15, 16]
    there = {name: len(fits) for name, fits in fits_of(tmp_path / "sizes").items()}
    assert there["3x5"] == 1
    assert there["4x4"] in (1, 2), "the fit under way may be over before it looks for the word to stop"
    assert {len(status_of(tmp_path / "sizes" / name).fits) for name in ("4x4", "3x5")} == {2}
    again = bnbench(*RUN, *SIZES, "--json", cwd=tmp_path)
    assert again.returncode == 0
    ended = [json.loads(line) for line in again.stdout.splitlines() if "state" in line]
    assert [(fit["seed"], fit["state"]) for fit in ended] == [(2, "done")] * (4 - sum(there.values()))
    nothing = bnbench(*RUN, *SIZES, cwd=tmp_path)
    assert nothing.returncode == 0


class Heard(Listener):
    """Writes down what a sweep has to say."""

    def __init__(self) -> None:
        self.plans: list[tuple[str, int]] = []
        self.ends: list[tuple[str, int, int]] = []

    def planned(self, plan: Plan, execution: Execution, estimate: Callable[[], float | None]) -> None:
        self.plans.append((plan.folder.name, len(plan.to_run)))
        assert (estimate() or 0.0) >= 0

    def ended(self, swept: EndedSweep) -> None:
        self.ends.append((swept.plan.folder.name, len(swept.outcomes), len(swept.failed)))


class OpenedOnce(Inline):
    """Counts how often it is opened."""

    times = 0

    @contextmanager
    def opened(self, say: Callable[[str], None], *, waits: bool = True) -> Iterator[None]:
        self.times += 1
        yield


@pytest.fixture
def first_size_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """No fit of 16 pixels takes a step."""
    advance = Fit.advance

    def fail_at_the_first_size(self: Fit) -> None:
        if len(self.coordinates) == 16:
            raise ValueError("no")
        advance(self)

    monkeypatch.setattr(Fit, "advance", fail_at_the_first_size)


@pytest.mark.usefixtures("first_size_fails")
def test_every_size_is_planned_and_ended_once_and_the_backend_opened_once(tmp_path: Path) -> None:
    execution = Execution(devices=DeviceRequest("cpu", 1))
    request = SweepRequest(TINY, Grid(("plain",), (0.5,), (1, 2, 3)), tmp_path / "sizes", execution, chunk=8)
    for failed, plans in ((3, [("4x4", 3), ("3x5", 3)]), (3, [("4x4", 0), ("3x5", 0)])):
        heard, backend = Heard(), OpenedOnce()
        ended = run_sweeps(request, backend, heard, sizes=[(4, 4), (3, 5)])
        assert heard.plans == plans
        outcomes = plans[0][1]
        assert heard.ends == [("4x4", outcomes, failed), ("3x5", outcomes, 0)]
        assert backend.times == 1
        assert [*ended.each] == ["4x4", "3x5"]


@pytest.mark.parametrize("sizes", [[], [(4, 4), (3, 5)]])
@pytest.mark.parametrize("named", ["nonsense", "1,000,001", "--fit-memory"])
def test_what_needs_no_backend_is_refused_before_one_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[Size], named: str
) -> None:
    monkeypatch.setenv("BNBENCH_KERNELS", "nonsense" if named == "nonsense" else "")
    grid = Grid(("plain",), (0.5,), tuple(range(1, 10**6 + 2)) if named == "1,000,001" else (1,))
    execution = Execution(fit_memory=4096 if named == "--fit-memory" else None)
    backend, request = OpenedOnce(), SweepRequest(TINY, grid, tmp_path / "sizes", execution, dry_run=True)
    with pytest.raises(RequestError, match=named):
        run_sweeps(request, backend, Heard(), sizes=sizes)
    assert backend.times == 0


def test_force_runs_every_fit_once_again(swept: Path) -> None:
    forced = bnbench(*RUN, *SIZES, "--force", "--json", "--out", "forced", cwd=swept)
    again = bnbench(*RUN, *SIZES, "--force", "--json", "--out", "forced", cwd=swept)
    for answer in (forced, again):
        assert sum('"done"' in line and '"state"' in line for line in answer.stdout.splitlines()) == 4
    assert len(list((swept / "forced").glob("*/superseded/*/fits/*.parquet"))) == 4
    assert {len(fits) for fits in fits_of(swept / "forced").values()} == {2}


@pytest.mark.usefixtures("first_size_fails")
@pytest.mark.parametrize(("fail_fast", "sizes"), [(False, 2), (True, 1)])
def test_the_exit_code_is_the_worst_and_fail_fast_ends_all(fail_fast: bool, sizes: int, tmp_path: Path) -> None:
    answer = bnbench(*RUN, *SIZES, *["--fail-fast"] * fail_fast, cwd=tmp_path)
    assert answer.returncode == 1
    assert len(list((tmp_path / "sizes").iterdir())) == sizes


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--mask-size 14,,20", "--mask-size 14,,20"),
        ("--mask-size 4,2", "--mask-size 2"),
        ("--mask-size 4,4x4", "4x4 twice"),
        ("--mask-size 4,5 --mask-kind framed", "--mask-kind framed"),  # fits the second size alone
        ("--mask-size 4,5 --out sizes/4x4", "--out sizes/4x4"),  # a folder of a single size
    ],
)
def test_a_wrong_request_is_one_sentence_and_computes_nothing(options: str, named: str, swept: Path) -> None:
    before = sorted(swept.rglob("*"))
    assert_refused(bnbench(*RUN, *options.split(), cwd=swept), named)
    assert sorted(swept.rglob("*")) == before


def test_a_configuration_names_several_sizes_as_text(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('mask-size = "4,3x5"\nseeds = 1\nout = "there"\n')
    assert bnbench(*RUN, "--config", "own.toml", cwd=tmp_path).returncode == 0
    assert fits_of(tmp_path / "there").keys() == {"4x4", "3x5"}
    repeated = bnbench("run", "--config", "there/3x5/config.toml", "--json", cwd=tmp_path)
    plan = json.loads(repeated.stdout.splitlines()[0])
    assert (plan["done"], plan["to_run"]) == (1, 0)
    (tmp_path / "own.toml").write_text("mask-size = [4, 5, 6]\n")
    refused = bnbench(*RUN, "--config", "own.toml", cwd=tmp_path)
    assert refused.returncode == 2
    assert 'mask-size = "4,5,6"' in refused.stderr


def run(folder: Path, **asked: Any) -> Any:
    knobs: dict[str, Any] = {"steps": 4, "images": 4, "widths": [2], "strides": [2]}
    knobs |= {"test_images": 60, "train_images": 60}
    how: dict[str, Any] = {"arms": "plain", "probs": 0.5, "seeds": 1, "chunk": 8, "backend": "inline"}
    return package.run("smoke", folder=folder, devices="cpu", jobs=1, progress=False, **how | knobs | asked)


@pytest.mark.parametrize("sizes", ["4,3x5", [(4, 4), (3, 5)]], ids=["text", "pairs"])
def test_python_takes_several_sizes_as_text_or_pairs(sizes: Any, tmp_path: Path) -> None:
    result = run(tmp_path / "own", mask_size=sizes)
    assert isinstance(result, SizesResult)
    assert result.fits["mask_size"].tolist() == list(result.sizes) == ["4x4", "3x5"]
    assert result.folder == tmp_path / "own"
    assert len(result.failed) == 0
    assert "4x4" in result._repr_html_()
    assert "3x5" in repr(result)
    assert result.grid == Grid(("plain",), (0.5,), (1,))
    assert [one.protocol.mask.mask_size for one in result.sizes.values()] == [(4, 4), (3, 5)]
    with pytest.raises(AttributeError, match="4x4"):
        _ = result.protocol
    assert not hasattr(result, "nonsense")


def test_python_takes_two_numbers_as_rows_and_columns(tmp_path: Path) -> None:
    for asked in ([3, 5], "3x5", [(3, 5)]):
        result = run(tmp_path, mask_size=asked)
        assert not isinstance(result, SizesResult)
        assert result.protocol.mask.mask_size == (3, 5)
        assert layout.fit_path(tmp_path, FitKey("plain", 0.5, 1)).exists()


@pytest.mark.parametrize("wrong", [[4, 5, 6], [(4, 4), (4, 4)], "4,", [], [(2, 4), (4, 4)], [(4, 4, 4), (3, 3)]])
def test_python_refuses_what_is_no_list_of_sizes(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"mask.size"):
        run(tmp_path / "none", mask_size=wrong)
    assert not (tmp_path / "none").exists()
