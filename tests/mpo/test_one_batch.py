"""Several fits as one batch are the fits that they are alone, up to rounding; each starts, ends and fails by itself.

As in test_replayed.py, the recorder records nothing: it computes again.
"""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

from bnbench.mpo.cuda_graph import Recording, Work
from bnbench.mpo.fit import Fit
from bnbench.mpo.gradient import ObjectiveGradient
from bnbench.mpo.one_batch import Batch
from bnbench.mpo.together import gradients_together
from bnbench.mpo.trace import DivergedError
from bnbench.mpo.whole_step import WholeStep
from bnbench.mpo.windows import Windows
from bnbench.protocol.sections import TrainingProtocol
from tests.cases import ARMS, IMAGE_SHAPE, make_images, make_mask, make_plane
from tests.mpo.test_replayed import TRAINING, Recorder, cannot_record, computes_again, gives_no_number, taken

IMAGES, WINDOWS = make_images(), Windows()
close = partial(torch.testing.assert_close, rtol=1e-12, atol=1e-12)


@pytest.fixture(autouse=True)
def no_pixel_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnbench.mpo.fit._FIND_FROM", 2.0)  # no GPU finds its clamped pixels first


def fit_of(
    seed: int, arm: str = "plain", record: Recorder | None = computes_again, training: TrainingProtocol = TRAINING
) -> Fit:
    """A fit with draws, mask and plane of its own; its images are everybody's."""
    black = make_mask(seed=seed)
    pixels, images = (torch.Generator().manual_seed(10 * seed + number) for number in range(2))
    masks = black, torch.ones_like(black)
    plane = make_plane(arm, seed=seed)
    return Fit(plane, *masks, IMAGES, training, pixels=pixels, images=images, chunk=4, record=record)


def run_together(fits: Sequence[Fit], batch: Batch | None = None, steps: Sequence[int] = ()) -> list[Exception | None]:
    """Take all steps of fits, or so many of each, in a thread each; return what each of them raised."""
    batch = batch or Batch()
    for _ in fits:
        batch.expect()

    def run(index: int) -> Exception | None:
        with batch.joined(fits[index], (index,)):
            batch.expect(-1)
            try:
                taken(fits[index], steps[index] if steps else fits[index].training.steps)
            except DivergedError as error:
                return error
        return None

    with ThreadPoolExecutor(len(fits)) as threads:
        return list(threads.map(run, range(len(fits))))


def assert_equal(fit: Fit, expected: Fit) -> None:
    for row, other in zip(fit.rows, expected.rows, strict=True):
        close(torch.tensor(row, dtype=torch.float64), torch.tensor(other, dtype=torch.float64))
    close(fit.plane.vectors, expected.plane.vectors)
    close(fit.plane.scale, expected.plane.scale)


BY_DAY = {("plain", None), ("bn", WINDOWS)}
WAYS = [
    pytest.param(*both, marks=[] if both in BY_DAY else pytest.mark.nightly)
    for both in itertools.product(ARMS, (None, WINDOWS))
]


@pytest.mark.parametrize(("arm", "kernels"), WAYS)
def test_gradients_together_are_those_of_each_fit_alone(arm: str, kernels: Windows | None) -> None:
    fits = [fit_of(seed, arm) for seed in range(3)]
    drawn = [fit.draw() for fit in fits]
    steps = [(fit.plane.frame().detach(), own[0], fit.targets, own[1]) for fit, own in zip(fits, drawn, strict=True)]
    for fit in fits:
        fit.engine.kernels = kernels
    found = gradients_together([fit.engine for fit in fits], steps, 4)  # one place is empty
    for fit, step, values in zip(fits, steps, found, strict=True):
        fit.engine.kernels = None
        for value, expected in zip(values, fit.engine.step(*step), strict=True):
            close(value, expected)


@pytest.mark.parametrize("arm", ["plain", *(pytest.param(arm, marks=pytest.mark.nightly) for arm in ARMS[1:])])
def test_fits_of_one_batch_are_the_fits_that_are_alone(arm: str) -> None:
    """With bn by SGD: Adam makes steps of 1e-10 of what is nothing but rounding, the gradient of a bias before BN."""
    training = replace(TRAINING, optimizer="sgd", learning_rate=1e-3) if arm == "bn" else TRAINING
    alone, together = ([fit_of(seed, arm, training=training) for seed in range(3)] for _ in range(2))
    for fit in alone:
        taken(fit, TRAINING.steps)
    assert run_together(together) == [None] * 3
    for fit, expected in zip(together, alone, strict=True):
        assert_equal(fit, expected)
        assert (fit.batched, fit.notes) == ([3], [])
        assert fit.engine.flops(IMAGE_SHAPE) == expected.engine.flops(IMAGE_SHAPE) > 0
        assert fit.state_dict()["cycles"][2]["position"] == expected.state_dict()["cycles"][2]["position"]


def test_a_fit_that_diverges_leaves_the_others_of_its_batch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights are no numbers from the third step on; the others then make a batch without it."""
    alone, together = ([fit_of(seed) for seed in range(3)] for _ in range(2))
    for fit in (alone[0], alone[2]):
        taken(fit, TRAINING.steps)
    advance, spoilt = Fit.advance, together[1]

    def spoils(fit: Fit) -> None:
        if fit is spoilt and fit.step == 2:
            with torch.no_grad():
                fit.plane.vectors[0, 0] = float("nan")
        advance(fit)

    monkeypatch.setattr(Fit, "advance", spoils)
    errors = run_together(together)
    assert [type(error) for error in errors] == [type(None), DivergedError, type(None)]
    for index in (0, 2):
        assert_equal(together[index], alone[index])
        assert together[index].batched == [3]  # as wide as before
    assert spoilt.step == 3


@pytest.mark.parametrize("arm", ["plain", pytest.param("bn", marks=pytest.mark.nightly)])
def test_fits_of_a_batch_that_was_killed_go_on_bit_for_bit(arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their checkpoints are of several steps, and one has ended: its place in the products stays, and is empty."""
    advance, whole, kept = Fit.advance, [fit_of(seed, arm) for seed in range(3)], dict[Fit, dict[str, Any]]()
    steps = dict(zip(whole, (2, 5, TRAINING.steps), strict=True))

    def keeps(fit: Fit) -> None:
        advance(fit)
        if fit.step == steps.get(fit):
            kept[fit] = copy.deepcopy(fit.state_dict())

    monkeypatch.setattr(Fit, "advance", keeps)
    assert run_together(whole) == [None] * 3
    resumed = [fit_of(seed, arm) for seed in range(2)]
    for fit, undisturbed in zip(resumed, whole, strict=False):
        fit.load_state_dict(kept[undisturbed])
    assert run_together(resumed, steps=(TRAINING.steps - 2, TRAINING.steps - 5)) == [None] * 2
    for fit, undisturbed in zip(resumed, whole, strict=False):
        assert torch.equal(fit.plane.vectors, undisturbed.plane.vectors)
        assert fit.rows == undisturbed.rows
        assert (fit.batched, fit.notes) == ([3], [])


def test_a_fit_that_goes_on_in_another_way_keeps_how_it_was_computed_before() -> None:
    fits = [fit_of(seed) for seed in range(2)]
    run_together(fits, steps=(3, 3))
    alone, unrecorded = fit_of(0), fit_of(0, record=None)
    for fit in (alone, unrecorded):
        fit.load_state_dict(fits[0].state_dict())
        assert taken(fit, TRAINING.steps - 3).batched == [2, 1]


def test_a_fit_of_a_batch_goes_on_alone_from_its_checkpoint() -> None:
    """One is stopped and asked for its state in the middle of a block of draws, while the others go on."""
    alone, together = ([fit_of(seed) for seed in range(2)] for _ in range(2))
    for fit in alone:
        taken(fit, TRAINING.steps)
    run_together(together, steps=(5, TRAINING.steps))
    assert_equal(together[1], alone[1])
    resumed = fit_of(0)
    resumed.load_state_dict(together[0].state_dict())
    assert_equal(taken(resumed, TRAINING.steps - 5), alone[0])


def test_a_fit_that_comes_late_joins_at_a_step_of_its_own() -> None:
    training = replace(TRAINING, steps=6)
    alone, together = ([fit_of(seed, training=training) for seed in range(2)] for _ in range(2))
    for fit in alone:
        taken(fit, training.steps)
    batch, halfway, both = Batch(), threading.Event(), threading.Event()

    def first() -> None:
        with batch.joined(together[0], (0,)):
            taken(together[0], 3)
            halfway.set()
            both.wait(60)
            taken(together[0], 3)

    thread = threading.Thread(target=first)
    thread.start()
    halfway.wait(60)
    with batch.joined(together[1], (1,)):
        both.set()
        taken(together[1], training.steps)
    thread.join(60)
    assert [fit.batched for fit in together] == [[1, 2], [2]]  # whoever came late ends in as wide a batch
    for fit, expected in zip(together, alone, strict=True):
        assert_equal(fit, expected)


@pytest.mark.parametrize("record", [cannot_record, pytest.param(gives_no_number, marks=pytest.mark.nightly)])
def test_a_batch_that_cannot_be_recorded_leaves_each_fit_to_itself(record: Recorder) -> None:
    """Here neither can any fit alone: all that is left is computed step by step, and said."""
    alone, together = ([fit_of(seed, record=way) for seed in range(2)] for way in (None, record))
    for fit in alone:
        taken(fit, TRAINING.steps)
    assert run_together(together) == [None, None]
    for fit, expected in zip(together, alone, strict=True):
        assert_equal(fit, expected)
        assert fit.batch_refusal
        assert len(fit.notes) == 2


def test_fits_whose_batch_is_refused_are_on_their_own_streams_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A context stands in for the stream of the batch; each thread has one."""
    own, advance, seen = threading.local(), WholeStep.advance, set[tuple[int, bool]]()

    @contextmanager
    def on_stream(batch: Batch, fit: Fit) -> Iterator[None]:
        own.is_shared = True
        yield
        own.is_shared = False

    def sees(whole: WholeStep) -> bool:
        seen.add((len(whole.fits), own.is_shared))
        return advance(whole)

    def refuses(*given: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr(Batch, "_on_one_stream", on_stream)
    monkeypatch.setattr(WholeStep, "advance", sees)
    monkeypatch.setattr("bnbench.mpo.whole_step.take_together", refuses)
    assert run_together([fit_of(seed) for seed in range(2)], steps=(2, 2)) == [None] * 2
    assert seen == {(2, True), (1, False)}


def test_a_batch_that_computes_something_else_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where kernels confuse the networks of two fits: each fit then goes on with a recording of its own."""

    def confuses(engines: Sequence[ObjectiveGradient], steps: Sequence[Any], width: int) -> list[Any]:
        return gradients_together(engines, steps, width)[::-1]

    monkeypatch.setattr("bnbench.mpo.together.gradients_together", confuses)
    alone, together = ([fit_of(seed) for seed in range(2)] for _ in range(2))
    for fit in alone:
        taken(fit, TRAINING.steps)
    assert run_together(together) == [None, None]
    for fit, expected in zip(together, alone, strict=True):
        assert_equal(fit, expected)
        assert (fit.whole_refusal, fit.batched) == ("", [1])
        assert "off by" in fit.batch_refusal


def test_an_error_in_the_step_of_all_is_one_fits_and_the_others_go_on() -> None:
    calls: list[object] = []

    def raises_once(work: Work, device: torch.device) -> Recording:
        replay, kept = computes_again(work, device)

        def launch() -> None:
            calls.append(None)
            if len(calls) == 4:  # behind the proof's two
                raise ZeroDivisionError
            replay()

        return launch, kept

    together = [fit_of(seed, record=raises_once) for seed in range(3)]
    with pytest.raises(ZeroDivisionError):
        run_together(together)
    assert sorted(fit.step for fit in together)[1:] == [TRAINING.steps] * 2


UNLIKE: list[tuple[str, Callable[[], Fit]]] = [
    ("another number of pixels", lambda: fit_of(1, training=replace(TRAINING, black_pixels=1))),
    ("no recording", lambda: fit_of(1, record=None)),
    ("one minibatch for all", lambda: fit_of(1, training=replace(TRAINING, minibatch="shared"))),
]


@pytest.mark.parametrize(("what", "make"), UNLIKE, ids=[what for what, _ in UNLIKE])
def test_a_fit_of_another_shape_goes_alone(what: str, make: Callable[[], Fit]) -> None:
    batch, like, unlike = Batch(), fit_of(0), make()
    with batch.joined(like, (0,)), batch.joined(unlike, (1,)):
        assert [member.fit for member in batch._members] == [like]
    assert unlike.whole is None or unlike.whole.refusal == ""
    assert like.whole is not None
    assert not batch._members


def test_the_order_of_a_batch_is_not_that_of_arrival() -> None:
    batch, fits = Batch(), [fit_of(seed) for seed in range(3)]
    with batch.joined(fits[2], (2,)), batch.joined(fits[0], (0,)), batch.joined(fits[1], (1,)):
        assert [member.fit for member in batch._members] == fits
