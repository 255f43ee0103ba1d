"""The training loop against a slow reference, and what it promises."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bnbench.errors import RequestError
from bnbench.inputs.data import Images
from bnbench.mpo.fit import Fit
from bnbench.mpo.gradient import ObjectiveGradient
from bnbench.mpo.optimizers import OPTIMIZERS
from bnbench.mpo.plane import Plane, grid_coordinates
from bnbench.mpo.trace import DivergedError
from bnbench.mpo.training import Training
from bnbench.mpo.whole_fit import fit
from bnbench.protocol.sections import TrainingProtocol
from tests.cases import ARMS, make_images, make_mask, make_plane
from tests.slow import frame_by_hand, frame_from_origin_by_hand, step_loss

PRECISE = ("float32", "bfloat16")
TRAINING = TrainingProtocol(black_pixels=5, white_pixels=4, images=6, steps=8, learning_rate=1e-2, clip=1e9)


def start(plane: Plane, training: TrainingProtocol = TRAINING, chunk: int = 3, mask: Tensor | None = None) -> Fit:
    black = make_mask() if mask is None else mask
    return Fit(plane, black, torch.ones_like(black), make_images(), training, chunk=chunk)


def first_gradient(under_way: Fit) -> tuple[Tensor, Tensor]:
    under_way.advance()
    assert under_way.plane.vectors.grad is not None
    assert under_way.plane.scale.grad is not None
    return under_way.plane.vectors.grad, under_way.plane.scale.grad


def relative(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).norm() / expected.norm())


def steps() -> Iterator[Any]:
    """Every arm on both networks; daily plain on one in all four ways, and each in one or two that differ in both."""
    for arm, network in itertools.product(ARMS, ("strided", "pooled")):
        for minibatch, skips in itertools.product(("own", "shared"), (False, True)):
            is_daily = skips == (minibatch == "shared") and (network == "strided" or skips)
            is_daily = is_daily or (arm, network) == ("plain", "strided")
            yield pytest.param(arm, network, minibatch, skips, marks=() if is_daily else pytest.mark.nightly)


@pytest.mark.parametrize(("arm", "network", "minibatch", "skips"), list(steps()))
def test_one_step_equals_a_plain_loop(arm: str, network: str, minibatch: str, skips: bool) -> None:
    check_one_step(make_mask(), arm, network, minibatch, skips)


@pytest.mark.parametrize("shape", [(20,), (2, 5, 2), (2, 1, 5, 2)])
@pytest.mark.parametrize("arm", ["plain", "bn"])
def test_one_step_on_a_line_or_in_a_space_equals_a_plain_loop(arm: str, shape: tuple[int, ...]) -> None:
    check_one_step(make_mask().view(shape), arm, "strided", "own", skips=False)


@pytest.mark.parametrize("arm", ["plain", "bn"])
def test_one_step_with_right_from_the_origin_equals_a_plain_loop(arm: str) -> None:
    check_one_step(make_mask(), arm, "strided", "shared", skips=False, from_origin=True)


def check_one_step(
    mask: Tensor, arm: str, network: str, minibatch: str, skips: bool, *, from_origin: bool = False
) -> None:
    plane = partial(make_plane, arm, network, directions=mask.dim(), from_origin=from_origin)
    drawn = start(plane(), replace(TRAINING, minibatch=minibatch), mask=mask)
    pixels, chosen = drawn.draw()
    is_black = mask.flatten()[pixels].tolist()
    data = drawn.engine.data
    minibatches = [
        (data.pixels[own], data.labels[own]) for own in (chosen if minibatch == "own" else [chosen] * len(pixels))
    ]
    twin = plane()
    slow = partial(step_loss, twin.module, twin.vectors, twin.scale, mask.shape, pixels.tolist(), is_black, minibatches)
    slow = partial(slow, frame_of=frame_from_origin_by_hand if from_origin else frame_by_hand)
    _, losses = slow(threshold=100.0)
    white = sorted(loss for loss, black in zip(losses, is_black, strict=True) if not black)
    threshold = (white[1] + white[2]) / 2  # two white pixels live, two clamped

    under_way = start(plane(), replace(TRAINING, minibatch=minibatch, threshold=threshold), mask=mask)
    under_way.clamped_share = float(skips)
    total, _ = slow(threshold=threshold)
    total.backward()
    vectors, scale = first_gradient(under_way)

    assert twin.vectors.grad is not None
    assert twin.scale.grad is not None
    assert relative(vectors, twin.vectors.grad) < 1e-12
    assert relative(scale, twin.scale.grad) < 1e-12


@pytest.mark.parametrize("arm", ["plain", "bn"])
def test_bfloat16_rounds_the_networks_and_nothing_else(arm: str) -> None:
    exact, rounded = (start(make_plane(arm).float(), replace(TRAINING, precision=name), chunk=5) for name in PRECISE)
    for under_way in (exact, rounded):
        under_way.engine.data = Images(under_way.engine.data.pixels.float(), under_way.engine.data.labels)
    (expected, _), (actual, _) = first_gradient(exact), first_gradient(rounded)
    assert actual.dtype == torch.float32
    assert 1e-4 < relative(actual, expected) < 0.1


@pytest.mark.parametrize("chunk", [1, 2, 7, 100])
def test_the_chunk_changes_rounding_alone(chunk: int) -> None:
    vectors, scale = first_gradient(start(make_plane("bn"), chunk=chunk))
    expected, expected_scale = first_gradient(start(make_plane("bn"), chunk=4))
    assert relative(vectors, expected) < 1e-12
    assert relative(scale, expected_scale) < 1e-12


@pytest.mark.parametrize("skips", [False, True])
def test_a_clamped_white_pixel_moves_nothing(skips: bool) -> None:
    """With a threshold of almost 0 every white pixel is clamped: only black ones have a gradient."""
    training = replace(TRAINING, threshold=1e-9)
    under_way = start(make_plane("plain"), training)
    under_way.clamped_share = float(skips)
    vectors, _ = first_gradient(under_way)
    drawn = start(make_plane("plain"), training)
    pixels, chosen = drawn.draw()
    black = [index for index, is_black in enumerate(make_mask().flatten()[pixels].tolist()) if is_black]
    twin = make_plane("plain")
    minibatches = [
        (drawn.engine.data.pixels[chosen[index]], drawn.engine.data.labels[chosen[index]]) for index in black
    ]
    total, _ = step_loss(
        twin.module, twin.vectors, twin.scale, (4, 5), pixels[black].tolist(), [True] * len(black), minibatches, 1e-9
    )
    total.backward()
    assert twin.vectors.grad is not None
    assert relative(vectors, twin.vectors.grad) < 1e-12


def test_skipping_clamped_pixels_starts_when_enough_are_clamped(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []
    forward = ObjectiveGradient.forward

    def counted(engine: ObjectiveGradient, weights: list[Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(torch.is_grad_enabled())
        return forward(engine, weights, images)

    monkeypatch.setattr(ObjectiveGradient, "forward", counted)
    under_way = start(make_plane("plain"), replace(TRAINING, threshold=1e-9))
    under_way.advance()
    assert all(calls)
    under_way.clamped_share = 1.0
    calls.clear()
    under_way.advance()
    assert calls.count(False) == 2  # 4 white pixels in chunks of 3
    assert calls.count(True) == 2  # 5 black ones


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_adam_clipping_and_schedule_by_hand(schedule: str) -> None:
    """A whole schedule with an own rate for the scale, against the formulas."""
    training = replace(TRAINING, clip=0.5, scale_rate=3.0, steps=4, schedule=schedule)
    plane = make_plane("plain")
    under_way = start(plane, training)
    expected = {"vectors": plane.vectors.detach().clone(), "scale": plane.scale.detach().clone()}
    first = {name: torch.zeros_like(value) for name, value in expected.items()}
    second = {name: torch.zeros_like(value) for name, value in expected.items()}
    for step in range(1, 5):
        under_way.advance()
        rate = 1e-2 * (1 + math.cos(math.pi * (step - 1) / 4)) / 2 if schedule == "cosine" else 1e-2
        gradients = {"vectors": plane.vectors.grad, "scale": plane.scale.grad}
        norm = sum(float(gradient.norm()) ** 2 for gradient in gradients.values() if gradient is not None) ** 0.5
        assert norm <= 0.5 + 1e-9
        for name, gradient in gradients.items():
            assert gradient is not None
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient**2
            own = rate * (3.0 if name == "scale" else 1.0)
            mean, square = first[name] / (1 - 0.9**step), second[name] / (1 - 0.999**step)
            expected[name] -= own * mean / (square.sqrt() + 1e-8)
        assert torch.allclose(plane.vectors, expected["vectors"], rtol=0, atol=1e-12)
        assert torch.allclose(plane.scale, expected["scale"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("step", [-1, 10**9, True, 1.0, None])
def test_a_state_of_a_step_that_no_fit_has_is_refused_before_anything_is_taken_over(step: object) -> None:
    under_way, other = (start(make_plane("plain", seed=seed)) for seed in (0, 1))
    before = under_way.plane.vectors.clone()
    with pytest.raises(ValueError, match=f"step {step}"):
        under_way.load_state_dict({**other.state_dict(), "step": step})
    assert torch.equal(under_way.plane.vectors, before)


def test_training_bends_the_landscape() -> None:
    plane = make_plane("plain")
    rows = fit(plane, make_mask(), torch.ones(4, 5, dtype=torch.bool), make_images(), replace(TRAINING, steps=150))
    assert rows[0].step == 1
    assert rows[-1].step == 150
    assert rows[-1].black_loss < 0.7 * rows[0].black_loss
    assert rows[-1].white_loss > 1.2 * rows[0].white_loss
    assert rows[-1].black_accuracy > rows[-1].white_accuracy + 0.3
    assert rows[-1].learning_rate < 1e-5


def test_the_trace_holds_means_over_its_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    under_way = start(make_plane("plain"), replace(TRAINING, steps=250))
    seen: list[float] = []
    norms: list[float] = []
    step = under_way.engine.step

    def watched(frame: Tensor, pixels: Tensor, *rest: Any, **how: Any) -> tuple[Tensor, Tensor, Tensor]:
        gradient, losses, accuracies = step(frame, pixels, *rest, **how)
        seen.append(float(losses[make_mask().flatten()[pixels]].mean()))
        return gradient, losses, accuracies

    monkeypatch.setattr(under_way.engine, "step", watched)
    for _ in range(4):
        under_way.advance()
        vectors, scale = under_way.plane.vectors.grad, under_way.plane.scale.grad
        assert vectors is not None
        assert scale is not None
        norms.append(float(torch.cat([vectors.flatten(), scale.view(1)]).norm()))
    assert [row.step for row in under_way.rows] == [2, 4]
    assert [row.black_loss for row in under_way.rows] == pytest.approx([sum(seen[:2]) / 2, sum(seen[2:]) / 2])
    assert under_way.rows[0].gradient_norm == pytest.approx(sum(norms[:2]) / 2)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_fit_goes_on_bit_for_bit_from_its_state(tmp_path: Path, optimizer: str) -> None:
    training = replace(TRAINING, steps=12, optimizer=optimizer)
    whole = start(make_plane("bn"), training)
    while not whole.is_done:
        whole.advance()
    half = start(make_plane("bn"), training)
    for _ in range(5):
        half.advance()
    path = tmp_path / "fit.pt"
    torch.save(half.state_dict(), path)
    resumed = start(make_plane("bn", seed=9), training)
    resumed.load_state_dict(torch.load(path, weights_only=True))
    while not resumed.is_done:
        resumed.advance()
    assert torch.equal(resumed.plane.vectors, whole.plane.vectors)
    assert torch.equal(resumed.plane.scale, whole.plane.scale)
    assert resumed.rows == whole.rows


def test_a_step_uses_no_more_pixels_than_there_are() -> None:
    training = replace(TRAINING, black_pixels=1_000, white_pixels=1_000)
    under_way = start(make_plane("plain"), training)
    pixels, _ = under_way.draw()
    black = make_mask().flatten()
    assert sorted(pixels.tolist()) == list(range(20))
    assert torch.equal(~under_way.targets.has_threshold, black[pixels])


def test_the_origin_of_a_fit_is_that_of_its_landscape() -> None:
    black = make_mask()
    for origin in ("centre", "corner"):
        under_way = Fit(make_plane("plain"), black, torch.ones_like(black), make_images(), TRAINING, origin=origin)
        assert torch.equal(under_way.coordinates, grid_coordinates((4, 5), origin))


def test_a_shared_minibatch_is_one_for_all_pixels_of_a_step() -> None:
    """Of 40 images six a step, each once a round; with own minibatches 9 pixels take 54 a step."""
    shared, own = (start(make_plane("plain"), replace(TRAINING, minibatch=kind)) for kind in ("shared", "own"))
    drawn = [shared.draw()[1] for _ in range(6)]
    assert {images.shape for images in drawn} == {(6,)}
    assert len(torch.cat(drawn).unique()) == 36
    assert own.draw()[1].shape == (9, 6)


def test_untrained_pixels_are_never_drawn() -> None:
    black = make_mask()
    trained = torch.zeros_like(black)
    trained[0, :3] = trained[-1, :] = True
    under_way = Fit(make_plane("plain"), black, trained, make_images(), TRAINING)
    for _ in range(20):
        pixels, _ = under_way.draw()
        assert trained.flatten()[pixels].all()


def test_a_fit_forgets_its_recordings_however_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """They refer to the fit, so that a GPU's memory would wait for Python to collect both."""

    def stop(row: object) -> None:
        raise InterruptedError

    forgotten: list[int] = []
    monkeypatch.setattr(Fit, "forget_recordings", lambda under_way: forgotten.append(under_way.step))
    asked = make_plane("plain"), make_mask(), torch.ones(4, 5, dtype=torch.bool), make_images(), TRAINING
    fit(*asked)
    with pytest.raises(InterruptedError):
        fit(*asked, on_row=stop)
    assert forgotten == [TRAINING.steps, 1]


def test_divergence_is_an_error() -> None:
    broken = make_images()
    data = broken.to("cpu", torch.float64)
    data.pixels[:] = float("nan")  # Images would refuse them, but a fit may come to such numbers by itself
    with pytest.raises(DivergedError, match=r"step 1\b.*learning rate"):
        fit(make_plane("plain"), make_mask(), torch.ones(4, 5, dtype=torch.bool), data, TRAINING)


def test_masks_may_be_arrays_as_draw_mask_gives_them() -> None:
    mask, trained = make_mask(), torch.ones(4, 5, dtype=torch.bool)
    masks: list[tuple[Any, Any]] = [(mask, trained), (mask.numpy(), trained.numpy())]
    traces = [fit(make_plane("plain"), black, kept, make_images(), TRAINING) for black, kept in masks]
    assert traces[0] == traces[1]


def test_masks_that_cannot_be_fitted_are_refused() -> None:
    plane, data = make_plane("plain"), make_images()
    ones = torch.ones(4, 5, dtype=torch.bool)
    with pytest.raises(ValueError, match="boolean"):
        fit(plane, make_mask(), torch.ones(5, 4, dtype=torch.bool), data, TRAINING)
    with pytest.raises(ValueError, match="boolean"):
        fit(plane, make_mask().float(), ones, data, TRAINING)
    with pytest.raises(ValueError, match="one colour"):
        fit(plane, ones, ones, data, TRAINING)


def test_the_core_has_the_defaults_of_the_protocol() -> None:
    assert Training() == Training(**{one.name: getattr(TrainingProtocol(), one.name) for one in fields(Training)})


@pytest.mark.parametrize(
    "wrong",
    [
        {"precision": "fp16"},
        {"minibatch": "Shared"},
        {"schedule": "linear"},
        {"steps": 0},
        {"steps": 5.5},
        {"images": True},
        {"black_pixels": 0},
        {"clip": -1.0},
        {"threshold": math.nan},
        {"learning_rate": "fast"},
    ],
)
def test_settings_that_the_loop_does_not_know_are_refused(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(RequestError, match=f"{name}={re.escape(repr(value))}"):
        Training(**wrong)


def test_a_chunk_without_a_pixel_is_refused() -> None:
    data, mask = make_images(), make_mask()
    with pytest.raises(ValueError, match="chunk=0"):
        fit(make_plane("plain"), mask, torch.ones_like(mask), data, TRAINING, chunk=0)
