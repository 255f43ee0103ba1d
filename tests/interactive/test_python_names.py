"""What a public function refuses names its own arguments; the command's options stay with the command."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bnbench
from bnbench.errors import RequestError
from bnbench.inputs.datasets import DATASETS_FOLDER
from bnbench.protocol.sections import DataProtocol, TrainingProtocol
from tests.cli.test_cli import bnbench as command
from tests.synthetic import write_sweep

SMOKE = bnbench.PROFILES["smoke"]
STORED = SMOKE.as_dict()
DIGITS = SMOKE.data


def load(folder: Path | None = None, *, split: str = "test", count: int = 0, **data: Any) -> Callable[[Path], object]:
    """A call of load_data that asks for other images than digits has."""
    measured = replace(SMOKE.measurement, split=split, test_images=count)
    return lambda path: bnbench.load_data(replace(DIGITS, **data), measured, folder)


def report(**given: Any) -> Callable[[Path], object]:
    """A call of build_report on the made-up results."""
    return lambda path: bnbench.build_report(path / "results", **{"out": path / "out", **given})


CALLS: list[tuple[Callable[[Path], object], tuple[str, ...]]] = [
    (report(figure3=(0.4, 9)), ("figure3 0.4,9",)),
    (report(evaluations=Path("none")), ("evaluations none",)),
    (lambda path: bnbench.build_report(path / "results", path / "results"), ("out ",)),
    (lambda path: bnbench.build_report(path / "results", path / "results" / "protocol.json" / "report"), ("out ",)),
    (lambda path: bnbench.build_report(path / "no", path / "out"), ("no",)),
    (report(formats="doc"), ("formats doc",)),
    (lambda path: bnbench.load(path / "no"), ("no",)),
    (load(pool=3), ("pool 3",)),
    (load(held_out=1296), ("held_out 1296",)),
    (load(count=501), ("test_images 501",)),
    (load(dataset="mnist"), ("dataset mnist", "folder", "download=True")),
    (lambda path: bnbench.load_plane(path / "no.safetensors"), ("no.safetensors",)),
    (lambda path: SMOKE.with_knobs(steps=0), ("steps 0",)),
    (lambda path: SMOKE.with_knobs(widths=(8, 16)), ("widths 8,16", "strides")),
    (lambda path: SMOKE.with_knobs(bn_statistics="batch"), ("bn_statistics batch",)),
    (lambda path: TrainingProtocol(learning_rate=-1), ("learning_rate -1",)),
    (lambda path: replace(SMOKE.measurement, test_images=-1), ("test_images -1",)),
    (lambda path: bnbench.Protocol.from_dict({**STORED, "data": {**STORED["data"], "pool": 0}}), ("pool 0",)),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results of two fits."""
    folder = tmp_path_factory.mktemp("made")
    write_sweep(folder / "results", probs=[0.5], seeds=[1])
    return folder


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_a_refusal_names_arguments_and_no_option(number: int, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATASETS_FOLDER, str(made / "no"))
    monkeypatch.setattr(Path, "home", lambda: made)
    call, names = CALLS[number]
    with pytest.raises(RequestError) as refused:
        call(made)
    said = str(refused.value)
    assert all(name in said for name in names), said
    assert " --" not in f" {said}".replace("bnbench run --", "bnbench run "), said


def test_the_command_names_its_options_for_the_same(made: Path) -> None:
    for arguments, option in (
        (["report", "results", "--out", "results"], "--out results"),
        (["report", "results", "--out", "new", "--figure3", "0.4,9"], "--figure3 0.4,9"),
        (["run", "--profile", "smoke", "--dry-run", "--learning-rate", "-1"], "--learning-rate -1"),
        (["run", "--profile", "smoke", "--dry-run", "--bn-statistics", "batch"], "--bn-statistics batch"),
        (["bend", "--text", "A", "--steps", "0"], "--steps 0"),
    ):
        answer = command(*arguments, cwd=made)
        assert answer.returncode == 2
        assert option in answer.stderr


def test_a_public_function_is_one_object_with_its_own_signature() -> None:
    for name in ("build_report", "load", "load_data", "load_plane"):
        function = getattr(bnbench, name)
        assert pickle.loads(pickle.dumps(function)) is function
        assert getattr(bnbench, name) is function
        assert function.__doc__


def test_a_knob_error_travels_between_processes() -> None:
    with pytest.raises(RequestError) as refused:
        DataProtocol(pool=0)
    again = pickle.loads(pickle.dumps(refused.value))
    assert (str(again), again.args) == (str(refused.value), refused.value.args)


def test_folders_may_be_text_and_the_users_own(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(made))
    written = bnbench.build_report("~/results", str(tmp_path / "report"), formats="csv")
    assert {".csv"} < {path.suffix for path in written.paths} <= {".csv", ".sha256"}
    assert len(bnbench.load("~/results")["arm"].unique()) >= 1
    with pytest.raises(RequestError, match=str(made / "no.safetensors")):
        bnbench.load_plane("~/no.safetensors")
