"""Recordings: what a GPU replays is what would be computed, or it is not replayed.

The recorder of these tests records nothing: it computes again. Streams, a GPU's memory and what a recording
keeps of Python are not tried, but by the last test, which needs a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bnbench.mpo.cuda_graph import Recording, Work
from bnbench.mpo.fit import Fit
from bnbench.mpo.replayed import Replayed
from bnbench.protocol.sections import TrainingProtocol
from tests.cases import ARMS, IMAGE_SHAPE, make_images, make_mask, make_plane

Recorder = Callable[[Work, torch.device], Recording]
TRAINING = TrainingProtocol(black_pixels=5, white_pixels=4, images=6, steps=8, learning_rate=1e-2)


def computes_again(work: Work, device: torch.device) -> Recording:
    """A recording whose values lie where they always lie, as a graph's do."""
    kept = work()

    def replay() -> None:
        for own, value in zip(kept, work(), strict=True):
            own.copy_(value)

    return replay, kept


def repeats_its_values(work: Work, device: torch.device) -> Recording:
    """A recording that holds its first inputs, too."""
    return lambda: None, work()


def cannot_record(work: Work, device: torch.device) -> Recording:
    """As torch says it: what went wrong is the context of the error that reaches the caller."""
    try:
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")
    finally:
        raise RuntimeError("operation failed due to a previous error during capture")


def gives_no_number(work: Work, device: torch.device) -> Recording:
    return lambda: None, tuple(value * float("nan") for value in work())


def fitted(arm: str, record: Recorder | None, training: TrainingProtocol = TRAINING) -> Fit:
    black = make_mask()
    under_way = Fit(make_plane(arm), black, torch.ones_like(black), make_images(), training, chunk=4)
    if record:
        under_way.engine.replayed = Replayed(record)
    while not under_way.is_done:
        under_way.advance()
    return under_way


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("minibatch", ["own", "shared"])
def test_a_replayed_fit_is_the_fit(arm: str, minibatch: str) -> None:
    training = replace(TRAINING, minibatch=minibatch)
    computed, replayed = fitted(arm, None, training), fitted(arm, computes_again, training)
    assert replayed.rows == computed.rows
    assert torch.equal(replayed.plane.vectors, computed.plane.vectors)
    assert replayed.engine.flops(IMAGE_SHAPE) == computed.engine.flops(IMAGE_SHAPE) > 0
    assert replayed.engine.refusal == ""


@pytest.mark.parametrize(
    ("record", "refusal"),
    [
        (repeats_its_values, "a replay was off by"),
        (cannot_record, "operation not permitted when stream is capturing"),
        (gives_no_number, "a replay was off by nan"),
    ],
)
def test_a_wrong_recording_is_found_out_and_never_used(record: Recorder, refusal: str) -> None:
    computed, refused = fitted("bn", None), fitted("bn", record)
    assert refused.rows == computed.rows
    assert torch.equal(refused.plane.vectors, computed.plane.vectors)
    assert refused.engine.refusal.startswith(refusal)
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="records on a GPU")
@pytest.mark.parametrize("arm", ["plain", "bn", "skip"])
def test_a_gpu_replays_what_it_computes(arm: str) -> None:
    def fitted_there(replays: bool) -> Fit:
        black, images = make_mask(), make_images()
        data = type(images)(images.pixels.float().cuda(), images.labels.cuda())
        under_way = Fit(make_plane(arm).float().cuda(), black, torch.ones_like(black), data, TRAINING, chunk=4)
        under_way.engine.replayed = Replayed() if replays else None
        while not under_way.is_done:
            under_way.advance()
        assert under_way.engine.refusal == ""
        return under_way

    computed, replayed = fitted_there(False), fitted_there(True)
    assert torch.allclose(replayed.plane.vectors, computed.plane.vectors, rtol=1e-3, atol=1e-5)
