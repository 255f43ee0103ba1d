"""A fit measured on the way: the same fit, and the same course however often it is cut off."""

from __future__ import annotations

import math
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch

from bnbench.errors import RequestError
from bnbench.inputs.data import load_data
from bnbench.measures.registry import REGISTERED, pixel_values
from bnbench.mpo.landscape import measure_landscape
from bnbench.process.surroundings import in_force
from bnbench.protocol.measured_steps import MeasuredSteps
from bnbench.protocol.protocol import FitKey, Grid, Protocol
from bnbench.results import layout, store
from bnbench.results.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from bnbench.results.checks import check_fit
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import open_folder
from bnbench.results.store import FitResult
from bnbench.results.sweeps import load, read_sweep, read_sweeps
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.confinement import Confinement
from bnbench.sweep.cost import estimate_seconds
from bnbench.sweep.course import Course, course_row
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution, FitStoppedError, Job, Outcome
from bnbench.sweep.fit_under_way import FitUnderWay
from bnbench.sweep.identity import fit_identity
from bnbench.sweep.inputs import load_inputs
from bnbench.sweep.interrupts import WorkerStop
from bnbench.sweep.measure import measured_landscape, pixels_of
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.runner import Runner
from bnbench.sweep.start import draw_masks, make_fit, make_plane
from tests.cases import FOREIGN
from tests.fits import TINY, make_result

STEPS = TINY.training.steps
EVERY = MeasuredSteps(named=tuple(range(1, STEPS + 1)))
NOT_MEASURED = Execution(make_slots(("cpu",), 1, 1), chunk=4, keep_planes=True)
MEASURED = replace(NOT_MEASURED, measure_at=EVERY)
KEY = FitKey("bn", 0.5, 1)


def sweep(folder: Path, key: FitKey, execution: Execution, protocol: Protocol = TINY) -> Outcome:
    open_folder(folder, protocol)
    plan = plan_sweep(folder, protocol, Grid((key.arm,), (key.p,), (key.seed,)))
    (outcome,) = Runner(plan, execution, Inline()).outcomes()
    return outcome


def fit_of(folder: Path, key: FitKey = KEY) -> FitResult:
    return read_fit(layout.fit_path(folder, key))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    assert sweep(folder, KEY, MEASURED).state == "done"
    return folder


@pytest.mark.parametrize(
    ("arm", "knobs"),
    [
        ("plain", {}),
        (FOREIGN, {}),
        ("bn", {"precision": "tf32", "minibatch": "shared", "optimizer": "sgd"}),
    ],
)
def test_measuring_changes_no_bit_of_the_fit(arm: str, knobs: dict[str, Any], tmp_path: Path) -> None:
    key, protocol = FitKey(arm, 0.5, 1), TINY.with_knobs(**knobs)
    for name, execution in (("bare", NOT_MEASURED), ("measured", MEASURED)):
        assert sweep(tmp_path / name, key, execution, protocol).state == "done"
    bare, measured = (fit_of(tmp_path / name, key) for name in ("bare", "measured"))
    assert bare.identity == measured.identity
    assert bare.protocol == measured.protocol
    for table in ("landscape", "summary", "trace"):
        pd.testing.assert_frame_equal(getattr(bare, table), getattr(measured, table), check_exact=True)
    assert bare.provenance["settings"] == measured.provenance["settings"]
    planes = [layout.plane_path(tmp_path / name, key).read_bytes() for name in ("bare", "measured")]
    assert planes[0] == planes[1]
    assert bare.course.empty
    assert len(measured.course) == 2 * STEPS


@pytest.mark.parametrize("arm", ["plain", "bn"])
def test_a_course_is_what_the_plane_shows_at_each_step(arm: str, tmp_path: Path) -> None:
    key = FitKey(arm, 0.5, 1)
    assert sweep(tmp_path, key, MEASURED).state == "done"
    course = fit_of(tmp_path, key).course
    data = load_data(TINY.data, TINY.measurement)
    black, trained = draw_masks(key, TINY)
    fit = make_fit(key, TINY, make_plane(key, TINY, data, "cpu"), (black, trained), data.train, 4)
    expected = []
    while not fit.is_done:
        fit.advance()
        found = measure_landscape(fit.plane, black.shape, data.measured, bn_statistics="batch:60")
        for pixels, counted in (("all", black | ~black), ("trained", trained)):
            values = pixel_values(pixels_of(found, black, counted, TINY.training.threshold))
            expected.append({"step": fit.step, "pixels": pixels, **values})
    pd.testing.assert_frame_equal(course, pd.DataFrame(expected), check_exact=True)
    assert list(course)[2:] == [measure.name for measure in REGISTERED if measure.of_pixels]


def test_the_end_is_that_of_the_summary(measured: Path) -> None:
    fit = fit_of(measured)
    headline = fit.summary[fit.summary["headline"] & (fit.summary["split"] != "train")]
    for row in headline.to_dict("records"):
        (last,) = fit.course[(fit.course["step"] == STEPS) & (fit.course["pixels"] == row["pixels"])].to_dict("records")
        assert all(last[name] == row[name] for name in list(fit.course)[2:])


class StopsAt(WorkerStop):
    """Says stop at its n-th look, and from then on."""

    def __init__(self, looks: int) -> None:
        super().__init__([])
        self.left = looks

    @property
    def is_requested(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_fit_cut_off_anywhere_goes_on_to_the_same_course(measured: Path, tmp_path: Path) -> None:
    """Also in the middle of a measurement, whose parts each look whether to stop."""
    whole, job = fit_of(measured), Job(TINY, tmp_path, MEASURED, "token")
    looks, stops, unmeasured = 0, 0, 0
    while not layout.fit_path(tmp_path, KEY).exists():
        open_folder(tmp_path, TINY)
        under_way = FitUnderWay(KEY, job, MEASURED.slots[0], 4)
        try:
            under_way.run(StopsAt(looks), Confinement(False, None, tmp_path / "over"))
        except FitStoppedError:
            stops, looks = stops + 1, (looks + 1) % 7
            if stored := load_checkpoint(tmp_path, KEY, fit_identity(KEY, TINY)):
                unmeasured += stored.state["step"] not in [row["step"] for row in stored.course["rows"]]
        assert stops < 100
    found = fit_of(tmp_path)
    assert stops > 3
    assert unmeasured > 0, "never was a fit cut off before its landscape was measured"
    pd.testing.assert_frame_equal(found.course, whole.course, check_exact=True)
    pd.testing.assert_frame_equal(found.landscape, whole.landscape, check_exact=True)
    assert found.provenance["course_seconds"] > 0


def stopped_at(looks: int, folder: Path, execution: Execution, chunk: int = 4) -> Checkpoint:
    """What a fit leaves to go on from that is stopped when it has looked so many times whether it should."""
    open_folder(folder, TINY)
    under_way = FitUnderWay(KEY, Job(TINY, folder, execution, "token"), execution.slots[0], chunk)
    with pytest.raises(FitStoppedError):
        under_way.run(StopsAt(looks), Confinement(False, None, folder / "over"))
    stored = load_checkpoint(folder, KEY, fit_identity(KEY, TINY))
    assert stored is not None
    return stored


def test_a_fit_begun_without_measuring_goes_on_with_it_and_says_what_is_missing(tmp_path: Path) -> None:
    stored = stopped_at(3, tmp_path, NOT_MEASURED)
    earlier = {name: value for name, value in vars(stored).items() if name != "course"}  # as earlier versions wrote it
    save_checkpoint(tmp_path, KEY, type(stored)(**earlier))
    outcome = sweep(tmp_path, KEY, MEASURED)
    assert "2 steps of --measure-at" in outcome.message
    assert fit_of(tmp_path).course["step"].unique().tolist() == list(range(3, STEPS + 1))


def test_what_was_measured_stays_when_a_fit_goes_on_without_measuring(tmp_path: Path) -> None:
    stored = stopped_at(9, tmp_path, MEASURED)
    begun = sorted({row["step"] for row in stored.course["rows"]})
    assert begun
    assert sweep(tmp_path, KEY, NOT_MEASURED).state == "done"
    assert fit_of(tmp_path).course["step"].unique().tolist() == [*begun, STEPS]


def test_a_landscape_that_cannot_be_measured_costs_its_rows_alone(
    measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fails_twice(*given: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) in (2, 3):
            torch.set_num_threads(2)
            raise RuntimeError("no memory for this")
        return measured_landscape(*given, **more)

    monkeypatch.setattr("bnbench.sweep.course.measured_landscape", fails_twice)
    before = in_force()
    outcome = sweep(tmp_path, KEY, MEASURED)
    assert in_force() == before
    assert outcome.state == "done"
    assert "step 2" in outcome.message
    assert "no memory for this" in outcome.message
    found, whole = fit_of(tmp_path), fit_of(measured)
    assert found.course["step"].unique().tolist() == [1, *range(4, STEPS + 1)]
    pd.testing.assert_frame_equal(found.landscape, whole.landscape, check_exact=True)


def test_a_step_that_could_not_be_measured_is_not_said_to_have_been_passed_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: Any, **more: Any) -> Any:
        raise RuntimeError("no memory for this")

    with monkeypatch.context() as patched:
        patched.setattr("bnbench.sweep.course.measured_landscape", fails)
        stopped_at(3, tmp_path, MEASURED)
    outcome = sweep(tmp_path, KEY, MEASURED)
    assert outcome.state == "done"
    assert "no memory for this" in outcome.message
    assert "--measure-at" not in outcome.message


def test_each_part_of_a_fit_repeats_no_note_of_those_before(tmp_path: Path) -> None:
    for looks, execution, chunk in ((2, NOT_MEASURED, 4), (3, MEASURED, 2), (4, MEASURED, 2)):
        stopped_at(looks, tmp_path, execution, chunk)
    outcome = sweep(tmp_path, KEY, replace(MEASURED, chunk=2))
    assert outcome.message.count("--measure-at") == 1
    assert outcome.message.count("chunk 4") == 1


def test_a_measure_that_is_no_number_is_missing(measured: Path, tmp_path: Path) -> None:
    fit = fit_of(measured)
    names = [measure.name for measure in REGISTERED if measure.of_pixels]
    row = {"pixels": "all", **dict.fromkeys(names, math.inf)}
    assert all(math.isnan(course_row(3, row)[name]) for name in names)
    fit.course.loc[fit.course["step"] == 1, "white_loss"] = math.nan
    open_folder(tmp_path, TINY)
    store.write_fit(tmp_path, fit)
    pd.testing.assert_frame_equal(fit_of(tmp_path).course, fit.course, check_exact=True)


def test_a_fit_that_diverges_has_diverged_though_it_was_measured(tmp_path: Path) -> None:
    key = FitKey("plain", 0.5, 1)
    outcome = sweep(tmp_path, key, MEASURED, TINY.with_knobs(learning_rate=1e30, optimizer="sgd", clip=1e30))
    assert outcome.state == "failed"
    assert "diverged" in outcome.message


def test_fits_with_and_without_a_course_share_a_folder(measured: Path, tmp_path: Path) -> None:
    shutil.copytree(measured, tmp_path / "own")
    assert sweep(tmp_path / "own", FitKey("plain", 0.5, 1), NOT_MEASURED).state == "done"
    found = read_sweep(tmp_path / "own")
    assert not found.broken
    assert found.courses.groupby("arm").size().to_dict() == {"bn": 2 * STEPS}
    assert load(tmp_path / "own").groupby("arm").size().to_dict() == {"bn": 16, "plain": 16}
    plan = plan_sweep(tmp_path / "own", TINY, Grid(("plain", "bn"), (0.5,), (1,)))
    assert plan.without_course == [FitKey("plain", 0.5, 1)]
    assert plan.to_run == []


@pytest.mark.parametrize(
    ("asked", "lacks"), [("1,2,", False), (str(EVERY), False), ("2", False), (f"{STEPS},", False), ("2,3,", True)]
)
def test_a_course_at_other_steps_is_not_the_one_that_is_asked_for(
    measured: Path, tmp_path: Path, asked: str, lacks: bool
) -> None:
    fit = fit_of(measured)
    open_folder(tmp_path, TINY)
    store.write_fit(tmp_path, replace(fit, course=fit.course[fit.course["step"] != 3]) if lacks else fit)
    grid = Grid((KEY.arm,), (KEY.p,), (KEY.seed,))
    for measure_at, expected in ((MeasuredSteps.parse(asked), [KEY] if lacks else []), (None, [])):
        assert plan_sweep(tmp_path, TINY, grid, measure_at=measure_at).without_course == expected


def test_a_folder_without_any_course_has_an_empty_table(tmp_path: Path) -> None:
    open_folder(tmp_path, TINY)
    store.write_fit(tmp_path, make_result(protocol=TINY))
    assert list(read_sweep(tmp_path).courses) == ["arm", "p", "seed"]


def test_of_two_copies_that_with_the_course_counts(measured: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        shutil.copytree(measured, tmp_path / name)
        if name != "b":
            store.write_fit(tmp_path / name, replace(fit_of(measured), course=pd.DataFrame()))
    (found,), broken = read_sweeps(tmp_path)
    assert not broken
    assert len(found.courses) == 2 * STEPS
    assert list(found.places.values()) == [tmp_path / "b"]


def changed(course: pd.DataFrame, damage: str) -> pd.DataFrame:
    """A course as no fit has it."""
    course = course.copy()
    if damage == "no rows":
        return course.iloc[:0]
    if damage == "a row too few":
        return course.iloc[1:]
    if damage == "another column first":
        return course[["pixels", "step", *course.columns[2:]]]
    if damage == "another end":
        return course.iloc[:-2]
    if damage == "another order":
        return pd.concat([course.iloc[2:4], course.iloc[:2], course.iloc[4:]], ignore_index=True)
    name, value = {
        "a step of none": ("step", 0),
        "half a step": ("step", 0.5),
        "other pixels": ("pixels", "some"),
        "a share above one": ("black", 1.5),
        "an infinite loss": ("white_loss", math.inf),
        "a word": ("white_loss", "low"),
        "not the summary's end": ("white", 0.25),
    }[damage]
    rows = [-2, -1] if damage.startswith("not") else [0, 1]
    values = course[name].tolist()
    for row in rows:
        values[row] = value
    return course.assign(**{name: values})


@pytest.mark.parametrize(
    "damage",
    [
        *("no rows", "a row too few", "another column first", "another end", "another order", "a step of none"),
        *("half a step", "other pixels", "a share above one", "an infinite loss", "a word", "not the summary's end"),
    ],
)
def test_a_course_that_no_fit_has_is_refused(measured: Path, damage: str) -> None:
    fit = fit_of(measured)
    check_fit(fit)
    with pytest.raises(ValueError, match="course"):
        check_fit(replace(fit, course=changed(fit.course, damage)))


@pytest.mark.parametrize(("arm", "at_end"), [("plain", 2), ("bn", 4)])
def test_the_plan_counts_what_is_measured_on_the_way(arm: str, at_end: int, tmp_path: Path) -> None:
    key, grid = FitKey(arm, 0.5, 1), Grid((arm,), (0.5,), (7,))
    for execution in (NOT_MEASURED, MEASURED):
        folder = tmp_path / str(bool(execution.measure_at))
        assert sweep(folder, key, execution).state == "done"
        provenance, plan = fit_of(folder, key).provenance, plan_sweep(folder, TINY, grid)
        bare = provenance["wall_seconds"] - provenance.get("course_seconds", 0.0)
        assert estimate_seconds(plan, NOT_MEASURED, None) == pytest.approx(bare)
        landscape = (bare - provenance["fit_seconds"]) / at_end
        assert estimate_seconds(plan, MEASURED, None) == pytest.approx(bare + (STEPS - 1) * landscape)


def test_the_time_of_a_landscape_is_measured_where_no_fit_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_sweep(tmp_path, TINY, Grid(("plain",), (0.5,), (1,)))
    data = load_data(TINY.data, TINY.measurement)
    monkeypatch.setattr("bnbench.sweep.cost.timed_fit", lambda *_: 10.0)
    monkeypatch.setattr("bnbench.sweep.cost.seconds_of_an_image", lambda *_: 0.001)
    landscape = 0.001 * 4 * 4 * len(data.measured)
    assert estimate_seconds(plan, NOT_MEASURED, data) == pytest.approx(10.0 + 2 * landscape)
    assert estimate_seconds(plan, MEASURED, data) == pytest.approx(10.0 + (2 + STEPS - 1) * landscape)


def test_a_step_beyond_the_fit_is_refused_before_anything_is_computed() -> None:
    execution = replace(NOT_MEASURED, measure_at=MeasuredSteps(named=(2, 700)))
    with pytest.raises(RequestError, match="--measure-at 2,700"):
        load_inputs(Grid(("plain",), (0.5,), (1,)), TINY, execution)


def test_measuring_beside_other_fits_leaves_the_global_random_numbers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A neighbour draws its first weights from them while a landscape is measured."""
    monkeypatch.setattr("bnbench.sweep.course.is_worker_process", lambda: True)
    drawn: list[torch.Tensor] = []

    def neighbour_draws(*given: Any, **named: Any) -> None:
        torch.default_generator.manual_seed(7)
        raise FitStoppedError

    monkeypatch.setattr("bnbench.sweep.course.measured_landscape", neighbour_draws)
    monkeypatch.setattr("bnbench.sweep.course.headline_policy", lambda *given: "")

    def measure() -> None:
        nothing: Any = None
        protocol, data = TINY, SimpleNamespace(measured=None)
        given: Any = (1, nothing, nothing, data, protocol)
        Course(EVERY, STEPS).measure(*given, threads=1, is_stopped=lambda: False)
        drawn.append(torch.rand(3))

    with torch.random.fork_rng(devices=[]):
        thread = threading.Thread(target=measure)
        thread.start()
        thread.join()
        expected = torch.rand(3, generator=torch.Generator().manual_seed(7))
    assert torch.equal(drawn[0], expected)
