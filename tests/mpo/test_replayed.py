"""Recordings: what a GPU replays is what would be computed, or it is not replayed.

The recorder of these tests records nothing: it computes again. Streams, a GPU's memory and what a recording
keeps of Python are not tried, but by the last test, which needs a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bnbench.mpo.cuda_graph import Recording, Work
from bnbench.mpo.fit import Fit
from bnbench.mpo.optimizers import OPTIMIZERS
from bnbench.mpo.replayed import Replayed
from bnbench.mpo.trace import DivergedError
from bnbench.protocol.sections import TrainingProtocol
from tests.benchmark_scripts import benchmark_script
from tests.cases import ARMS, IMAGE_SHAPE, make_images, make_mask, make_plane

Recorder = Callable[[Work, torch.device], Recording]
computes_again: Recorder = benchmark_script("recordings").computes_again
CANNOT = "operation not permitted when stream is capturing"  # torch's words
TRAINING = TrainingProtocol(black_pixels=3, white_pixels=2, images=6, steps=8, learning_rate=1e-2)


def repeats_its_values(work: Work, device: torch.device) -> Recording:
    """A recording that holds its first inputs, too."""
    return lambda: None, work()


def cannot_record(work: Work, device: torch.device) -> Recording:
    """As torch says it: what went wrong is the context of the error that reaches the caller."""
    try:
        raise RuntimeError(f"{CANNOT}\nmore of it")
    finally:
        raise RuntimeError("operation failed due to a previous error during capture")


def gives_no_number(work: Work, device: torch.device) -> Recording:
    return lambda: None, tuple(value * float("nan") for value in work())


def begun(record: Recorder | None, training: TrainingProtocol, arm: str = "bn", seed: int = 0) -> Fit:
    """A fit whose whole step is recorded, as on a GPU."""
    black = make_mask()
    plane = make_plane(arm, seed=seed)
    return Fit(plane, black, torch.ones_like(black), make_images(), training, chunk=4, record=record)


def taken(under_way: Fit, steps: int) -> Fit:
    for _ in range(steps):
        under_way.advance()
    return under_way


def fitted(arm: str, record: Recorder | None, training: TrainingProtocol = TRAINING) -> Fit:
    black = make_mask()
    under_way = Fit(make_plane(arm), black, torch.ones_like(black), make_images(), training, chunk=4)
    if record:
        under_way.engine.replayed = Replayed(record)
    while not under_way.is_done:
        under_way.advance()
    return under_way


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("minibatch", ["own", pytest.param("shared", marks=pytest.mark.nightly)])
def test_a_replayed_fit_is_the_fit(arm: str, minibatch: str) -> None:
    training = replace(TRAINING, minibatch=minibatch)
    computed, replayed = fitted(arm, None, training), fitted(arm, computes_again, training)
    assert replayed.rows == computed.rows
    assert torch.equal(replayed.plane.vectors, computed.plane.vectors)
    assert replayed.engine.flops(IMAGE_SHAPE) == computed.engine.flops(IMAGE_SHAPE) > 0
    assert replayed.engine.refusal == ""


@pytest.mark.parametrize(
    ("record", "named"),
    [
        (repeats_its_values, ""),
        (cannot_record, CANNOT),
        (gives_no_number, "nan"),
    ],
)
def test_a_wrong_recording_is_found_out_and_never_used(record: Recorder, named: str) -> None:
    computed, refused = fitted("bn", None), fitted("bn", record)
    assert refused.rows == computed.rows
    assert torch.equal(refused.plane.vectors, computed.plane.vectors)
    assert refused.engine.refusal
    assert named in refused.engine.refusal
    assert "\n" not in refused.engine.refusal


def test_a_function_is_computed_twice_and_once_to_be_recorded() -> None:
    calls: list[float] = []

    def doubled(value: Tensor) -> tuple[Tensor]:
        calls.append(float(value))
        return (2 * value,)

    def records(work: Work, device: torch.device) -> Recording:
        (kept,) = work()
        return lambda: kept.copy_(2 * recorded._inputs[0]), (kept,)

    recorded = Replayed(records)
    assert [float(*recorded(doubled, torch.tensor([value]))) for value in (1.0, 2.0, 3.0, 4.0)] == [2.0, 4.0, 6.0, 8.0]
    assert calls == [1.0, 2.0, 1.0]


def test_a_processor_records_nothing() -> None:
    assert fitted("plain", None).engine.replayed is None


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks of draws in a few steps; and no step finds its clamped pixels first, for no GPU does."""
    for module in ("whole_step", "drawn_ahead"):
        monkeypatch.setattr(f"bnbench.mpo.{module}.BLOCK", 10)
    monkeypatch.setattr("bnbench.mpo.fit._FIND_FROM", 2.0)


WHOLE = {
    "own": TRAINING,
    "shared": replace(TRAINING, minibatch="shared"),
    "constant": replace(TRAINING, schedule="constant", scale_rate=3.0),
    "sgd": replace(TRAINING, optimizer="sgd", learning_rate=1e-3),
    "clipped": replace(TRAINING, clip=0.01),
    "several blocks": replace(TRAINING, steps=13),
    "a single step": replace(TRAINING, steps=1),
}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", WHOLE)
def test_a_fit_recorded_whole_is_the_fit(name: str) -> None:
    training = WHOLE[name]
    computed, recorded = (taken(begun(record, training), training.steps) for record in (None, computes_again))
    assert recorded.whole is not None
    assert recorded.whole_refusal == ""
    assert recorded.rows == computed.rows
    assert torch.equal(recorded.plane.vectors, computed.plane.vectors)
    assert torch.equal(recorded.plane.scale, computed.plane.scale)
    assert recorded.engine.flops(IMAGE_SHAPE) == computed.engine.flops(IMAGE_SHAPE) > 0


@pytest.mark.parametrize(
    ("record", "named"),
    [
        (repeats_its_values, ""),
        (cannot_record, CANNOT),
        (gives_no_number, "nan"),
    ],
)
def test_a_fit_that_cannot_be_recorded_whole_is_the_fit_all_the_same(record: Recorder, named: str) -> None:
    computed, refused = (taken(begun(way, TRAINING), TRAINING.steps) for way in (None, record))
    assert refused.whole is None
    assert refused.whole_refusal
    assert named in refused.whole_refusal
    assert refused.rows == computed.rows
    assert torch.equal(refused.plane.vectors, computed.plane.vectors)


def test_an_optimizer_speaks_of_no_recording_once_it_was_refused() -> None:
    def marks_the_optimizer(work: Work, device: torch.device) -> Recording:
        for group in refused.optimizer.param_groups:
            group["capturable"] = True  # as a step under a recording leaves it
        return cannot_record(work, device)

    refused = begun(marks_the_optimizer, TRAINING)
    taken(refused, TRAINING.steps)
    assert refused.whole_refusal
    assert [group["capturable"] for group in refused.optimizer.param_groups] == [False, False]


def test_a_recording_that_leaves_the_plane_where_it_was_is_refused() -> None:
    def moves_nothing(work: Work, device: torch.device) -> Recording:
        replay, kept = computes_again(work, device)

        def without_the_last_line() -> None:
            plane = {name: value.clone() for name, value in refused.plane.state_dict().items()}
            replay()
            refused.plane.load_state_dict(plane)

        return without_the_last_line, kept

    refused = begun(moves_nothing, TRAINING)
    taken(refused, 3)
    assert refused.whole_refusal
    assert torch.equal(refused.plane.vectors, taken(begun(None, TRAINING), 3).plane.vectors)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    "optimizer", ["adam", *(pytest.param(name, marks=pytest.mark.nightly) for name in OPTIMIZERS if name != "adam")]
)
@pytest.mark.parametrize("ways", [(computes_again,) * 2, (computes_again, None), (None, computes_again)])
def test_a_recorded_fit_goes_on_bit_for_bit(
    ways: tuple[Recorder | None, Recorder | None], optimizer: str, tmp_path: Path
) -> None:
    """In the middle of a block of draws; on the same device, or on another kind of it."""
    training = replace(TRAINING, steps=19, optimizer=optimizer, learning_rate=1e-3)
    whole = taken(begun(None, training), 19)
    half = taken(begun(ways[0], training), 13)
    torch.save(half.state_dict(), tmp_path / "half.pt")
    resumed = begun(ways[1], training, seed=9)
    resumed.load_state_dict(torch.load(tmp_path / "half.pt", weights_only=True))
    for going_on in (taken(resumed, 6), taken(half, 6)):  # who was asked for its state goes on as well
        assert going_on.rows == whole.rows
        assert torch.equal(going_on.plane.vectors, whole.plane.vectors)


@pytest.mark.usefixtures("small_blocks")
def test_a_state_is_that_of_the_step_not_of_what_was_drawn_ahead() -> None:
    training = replace(TRAINING, steps=20)
    computed, recorded = (taken(begun(record, training), 7).state_dict() for record in (None, computes_again))
    for own, expected in zip(recorded["cycles"], computed["cycles"], strict=True):
        assert own["position"] == expected["position"]
        assert torch.equal(own["order"], expected["order"])
        assert torch.equal(own["generator"], expected["generator"])
    assert recorded["optimizer"]["param_groups"][0]["lr"] == computed["optimizer"]["param_groups"][0]["lr"]


def test_a_recorded_fit_diverges_as_any_other() -> None:
    training = replace(TRAINING, optimizer="sgd", learning_rate=1e30, scale_rate=1e30)
    with pytest.raises(DivergedError):
        taken(begun(computes_again, training), TRAINING.steps)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="records on a GPU")
@pytest.mark.parametrize("arm", ["plain", "bn", "skip"])
def test_a_gpu_replays_what_it_computes(arm: str) -> None:
    def fitted_there(replays: bool) -> Fit:
        black, images = make_mask(), make_images()
        data = type(images)(images.pixels.float().cuda(), images.labels.cuda())
        under_way = Fit(make_plane(arm).float().cuda(), black, torch.ones_like(black), data, TRAINING, chunk=4)
        if not replays:
            under_way.forget_recordings()
        while not under_way.is_done:
            under_way.advance()
        assert (under_way.engine.refusal, under_way.whole_refusal) == ("", "")
        return under_way

    computed, replayed = fitted_there(False), fitted_there(True)
    assert torch.allclose(replayed.plane.vectors, computed.plane.vectors, rtol=1e-3, atol=1e-5)
