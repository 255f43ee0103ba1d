"""bnbench.run: a sweep from Python is the command's sweep, and its result says how it stands."""

from __future__ import annotations

import re
import signal
import tomllib
from collections.abc import Callable
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bnbench
from bnbench.errors import RequestError
from bnbench.interactive.result import SweepResult
from bnbench.measures.registry import REGISTERED
from bnbench.mpo.fit import Fit
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import FitKey
from bnbench.report.tables import fits_table
from bnbench.results import layout
from bnbench.results.sweeps import read_sweep
from bnbench.sweep import interrupts
from bnbench.wording import plain_number
from tests.cli.test_cli import bnbench as command

KNOBS: dict[str, Any] = {"mask_size": 4, "steps": 4, "images": 4, "widths": [2], "strides": [2]}
KNOBS |= {"test_images": 60, "train_images": 60, "bn_statistics": "batch:60"}
OPTIONS = ["run", "--profile", "smoke", "--backend", "inline"]
OPTIONS += [part for name, value in KNOBS.items() for part in (f"--{name.replace('_', '-')}", str(value).strip("[]"))]
OPTIONS += ["--devices", "cpu", "--jobs", "1", "--chunk", "8", "--probs", "0.3,0.7", "--seeds", "2"]


def run(folder: Path, **more: Any) -> SweepResult:
    asked: dict[str, Any] = {"probs": 0.3, "seeds": 1, "arms": "plain", "chunk": 8, "progress": False, **KNOBS}
    where: dict[str, Any] = {"backend": "inline", "devices": "cpu", "jobs": 1}
    return bnbench.run("smoke", folder=folder, **where | asked | more)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    return run(tmp_path_factory.mktemp("python") / "own", probs=(0.3, 0.7), seeds=2, arms=["plain", "bn"])


def before_advance(monkeypatch: pytest.MonkeyPatch, does: Callable[[Fit], None]) -> None:
    advance = Fit.advance

    def advance_then(self: Fit) -> None:
        does(self)
        advance(self)

    monkeypatch.setattr(Fit, "advance", advance_then)


def test_python_and_the_command_give_the_same_results(swept: SweepResult, tmp_path: Path) -> None:
    assert command(*OPTIONS, "--out", "own", cwd=tmp_path).returncode == 0
    ours, theirs = read_sweep(swept.folder), read_sweep(tmp_path / "own")
    for name in ("landscapes", "traces", "summaries"):
        pd.testing.assert_frame_equal(getattr(ours, name), getattr(theirs, name), check_exact=True)
    asked, said = (tomllib.loads(layout.config_path(one).read_text()) for one in (swept.folder, tmp_path / "own"))
    assert asked | {"out": ""} == said | {"out": ""}


def test_a_row_per_fit_that_was_asked_for(swept: SweepResult) -> None:
    fits = swept.fits
    assert len(fits) == 8
    assert {"arm", "p", "seed", "black", "white", "difference"} <= set(fits)
    again = run(swept.folder, seeds=[2])
    assert again.fits[["arm", "p", "seed"]].to_numpy().tolist() == [["plain", 0.3, 2]]
    pd.testing.assert_frame_equal(
        again.fits, fits[(fits["arm"] == "plain") & (fits["p"] == 0.3) & (fits["seed"] == 2)].reset_index(drop=True)
    )


def test_the_same_call_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "own")
    (first,) = layout.fit_paths(tmp_path / "own")
    stamp = first.stat().st_mtime_ns
    capsys.readouterr()
    assert len(run(tmp_path / "own", seeds=2, progress=True).fits) == 2
    assert first.stat().st_mtime_ns == stamp
    said = capsys.readouterr()
    assert "1 done, 1 to run" in said.err
    assert said.out == ""


def test_without_progress_nothing_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "own")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"out": ""}, "out"),
        ({"out": 3}, "out 3"),
        ({"out": "{folder}"}, "out {folder}"),
        ({"formats": "htm"}, "formats htm"),
        ({"formats": ["csv", None]}, "formats csv,None"),
        ({"formats": []}, "formats"),
        ({"evaluations": True}, "evaluations True"),
        ({"evaluations": "{folder}/fits"}, "evaluations {folder}"),
        ({"figure3": (True, 1)}, "figure3 True"),
        ({"figure3": 0.3}, "figure3 0.3"),
        ({"figure3": (0.4, 1)}, "figure3 0.4,1"),
    ],
)
def test_a_wrong_report_names_the_argument_and_writes_nothing(
    asked: dict[str, Any], named: str, swept: SweepResult, tmp_path: Path
) -> None:
    there = str(swept.folder)
    given = {name: value.format(folder=there) if isinstance(value, str) else value for name, value in asked.items()}
    with chdir(tmp_path), pytest.raises(RequestError) as refused:
        swept.report(**{"formats": "csv", **given})
    assert named.format(folder=there) in str(refused.value)
    assert "--" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_protocol_of_ones_own_can_be_repeated_by_the_command(tmp_path: Path) -> None:
    protocol = replace(PROFILES["smoke"].with_knobs(mask_size=(4, 4), steps=4, images=4), profile="mine")
    asked: dict[str, Any] = {"probs": 0.3, "seeds": 1, "arms": "plain", "devices": "cpu", "jobs": 1, "chunk": 8}
    with chdir(tmp_path):
        sweep = bnbench.run(protocol, backend="inline", progress=False, **asked)
        assert sweep.folder.parent == tmp_path / "results"
    again = command("run", "--config", str(tmp_path / sweep.folder / "config.toml"), cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "1 done, 0 to run" in again.stderr


def test_a_failed_fit_raises_nothing_and_is_shown(
    swept: SweepResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(fit: Fit) -> None:
        raise RuntimeError("<script>alert(1)</script>")

    with monkeypatch.context() as patched:
        before_advance(patched, fails)
        sweep = run(tmp_path / "a<b>c")
    assert sweep.fits.empty
    assert sweep.fits.columns.tolist() == swept.fits.columns.tolist()
    assert {measure.name for measure in REGISTERED} <= set(sweep.fits)
    assert fits_table(read_sweep(swept.folder)).columns.difference(swept.fits.columns).empty
    ((arm, p, seed, message),) = sweep.failed.to_numpy().tolist()
    assert (arm, p, seed) == ("plain", 0.3, 1)
    assert "<script>" in message
    html = sweep._repr_html_()
    assert "<script>" not in html
    assert "<b>" not in html
    assert "retry_failed=True" in html
    assert len(run(tmp_path / "a<b>c").failed) == 1
    again = run(tmp_path / "a<b>c", retry_failed=True)
    assert (len(again.fits), len(again.failed)) == (1, 0)


def test_one_fit_of_a_sweep_shows_itself_and_has_its_pixels(swept: SweepResult) -> None:
    row = swept.fits.iloc[0]
    fit = swept.fit(row["arm"], row["p"], row["seed"])
    assert fit.measures["difference"] == row["difference"]
    own = swept.landscapes.query("arm == @fit.arm and p == @fit.p and seed == @fit.seed")
    assert len(fit.landscape) == len(own) == swept.protocol.mask.mask_size[0] * swept.protocol.mask.mask_size[1]
    black = fit.landscape.loc[fit.landscape["black"], "test_accuracy"].mean()
    assert fit.measures["black"] == pytest.approx(black)
    assert re.search(r'<img alt="[^"]+" src="data:image/png;base64,', fit._repr_html_())
    with pytest.raises(RequestError, match=r"p=0\.77 seed=1"):
        swept.fit("plain", 0.77, 1)


def test_a_notebook_sees_both_readings_of_each_arm_and_p(swept: SweepResult) -> None:
    html = swept._repr_html_()
    fits = swept.fits.query("arm == 'bn' and p == 0.7")
    means = (fits[f"{name}_trained"].mean() for name in ("difference", "right", "objective"))
    assert f"<td>{' / '.join(plain_number(mean) for mean in means)} (n = 2)</td>" in html
    assert html.count("<td>") == 4
    assert "8 done" in repr(swept)


def test_a_result_builds_its_report(swept: SweepResult, tmp_path: Path) -> None:
    built = swept.report(tmp_path / "report", formats=["csv"])
    assert tmp_path / "report" / "tables" / "fits.csv" in built.paths
    assert built.page is None
    built.paths.insert(0, tmp_path / "a<b>.html")
    assert str(built) == str(built.page) == str(tmp_path / "a<b>.html")
    assert "%3Cb%3E" in built._repr_html_()
    assert "<b>" not in built._repr_html_()


def test_an_interrupt_leaves_a_checkpoint_and_the_same_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(fit: Fit) -> None:
        if fit.step == 2:
            signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        patched.setattr(interrupts, "_LOOK_EVERY", 0.0)
        before_advance(patched, interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "own")
    assert signal.getsignal(signal.SIGINT) is handler
    assert layout.checkpoint_path(tmp_path / "own", FitKey("plain", 0.3, 1)).exists()
    assert len(run(tmp_path / "own").fits) == 1
    assert read_sweep(tmp_path / "own").provenance["parts"].tolist() == [2]
    run(tmp_path / "undisturbed")
    pd.testing.assert_frame_equal(bnbench.load(tmp_path / "own"), bnbench.load(tmp_path / "undisturbed"))
