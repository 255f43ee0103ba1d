"""Defects that bnbench check has to catch: each a small change of the source of one function.

A mutant's code replaces its function's own, so that every module that holds the function sees it. Each says which
quantity of the check differs first, and which unit test fails too; tests/check/defects.md shows the table, and
tests/check/test_mutants.py holds all of that to what happens. ``python -m tests.mutants`` prints the table; with a
mutant's number and arguments of pytest it runs those tests on the mutant.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch

from bnbench.arms import networks
from bnbench.arms.networks import ConvolutionalNetwork
from bnbench.inputs import data, masks
from bnbench.mpo import batch_norm_together, gradient, landscape, objective, plane
from bnbench.mpo.batch_norm import BatchNorm
from bnbench.mpo.fit import Fit
from bnbench.sweep import measure, start


@dataclass(frozen=True)
class Mutant:
    """One defect.

    Attributes:
        name: in words.
        function: which function has it.
        text: what it should say.
        instead: what it says.
        quantity: of those of the exact check, the first that differs.
        test: a unit test that fails too, as ``room/module::function``.
    """

    name: str
    function: Callable[..., Any]
    text: str
    instead: str
    quantity: str
    test: str


_RIGHT_ANGLES = "mpo/test_plane::test_directions_are_orthogonal_and_of_equal_length"
_EQ_3 = "mpo/test_objective::test_the_objective_is_eq_3"
_BN = "arms/test_models::test_batch_norm_uses_the_batchs_statistics_and_a_shifted_scale"
_GRID = "mpo/test_plane::test_the_grid_is_centred_and_up_is_up"
_ONE_STEP = "mpo/test_fit::test_one_step_equals_a_plain_loop"
_BY_HAND = "mpo/test_fit::test_adam_clipping_and_schedule_by_hand"
_POLICY = "mpo/test_landscape::test_a_policy_takes_all_the_images_that_it_names"
_SPLIT = "inputs/test_data::test_digits_are_split_and_standardized_by_what_is_trained_on"
_SUMMARY = "mpo/test_landscape::test_the_table_of_a_fit_and_its_summary_agree"
_OWN_STREAMS = "sweep/test_compute::test_every_p_and_seed_has_its_own_weights_pixels_and_images"

MUTANTS = (
    Mutant(
        "Gram–Schmidt without projection",
        plane._orthogonal,
        "rest = rest - (rest @ direction) / (direction @ direction) * direction",
        "rest = rest + 0 * direction",
        "plain: cosine of the directions",
        _RIGHT_ANGLES,
    ),
    Mutant(
        "Gram–Schmidt without rescaling",
        plane._orthogonal,
        "rest * (length / rest.norm())",
        "rest",
        "plain: ratio of their lengths",
        _RIGHT_ANGLES,
    ),
    Mutant(
        "no gradient through the directions' common length",
        plane._orthogonal,
        "length = lead.norm()",
        "length = lead.norm().detach()",
        "plain: gradient, step 1",
        _ONE_STEP,
    ),
    Mutant(
        "threshold's sign: white clamped from below",
        objective.weighted_objective,
        "clamp(max=threshold)",
        "clamp(min=threshold)",
        "plain: gradient, step 1",
        _EQ_3,
    ),
    Mutant(
        "no threshold",
        objective.weighted_objective,
        "losses.clamp(max=threshold)",
        "losses",
        "plain: gradient, step 3",
        _EQ_3,
    ),
    Mutant(
        "threshold for each image, not for a pixel's mean",
        gradient.ObjectiveGradient.forward,
        "losses.mean(1)",
        "losses.clamp(max=self.threshold).mean(1)",
        "plain: black loss, step 1",
        _ONE_STEP,
    ),
    Mutant(
        "loss summed over a pixel's images",
        gradient.ObjectiveGradient.forward,
        "losses.mean(1)",
        "losses.sum(1)",
        "plain: black loss, step 1",
        _ONE_STEP,
    ),
    Mutant(
        "every white pixel skipped as clamped",
        objective.is_clamped,
        "losses >= threshold",
        "losses >= 0",
        "plain: gradient, step 1, half of white clamped",
        _ONE_STEP,
    ),
    Mutant(
        "BN with running statistics 0 and 1",
        batch_norm_together.normalize,
        "F.batch_norm(maps, None, None, scale, shift, training=True, eps=epsilon)",
        "F.batch_norm(maps, torch.zeros_like(scale), torch.ones_like(scale), scale, shift, eps=epsilon)",
        "bn: loss at the start",
        _BN,
    ),
    Mutant(
        "no reparametrization of BN: γ without + 0.5",
        BatchNorm.forward,
        "self.scale + self.offset",
        "self.scale",
        "bn: loss at the start",
        _BN,
    ),
    Mutant(
        "white pixels averaged with black",
        objective.colour_targets,
        "torch.where(black, black.sum(), -(~black).sum())",
        "torch.where(black, black.numel(), -black.numel())",
        "plain: gradient, step 1",
        _EQ_3,
    ),
    Mutant(
        "white pixels pushed down too",
        objective.weighted_objective,
        "factors.to(losses) * counted",
        "factors.abs().to(losses) * counted",
        "plain: gradient, step 1",
        _EQ_3,
    ),
    Mutant(
        "α and β swapped",
        plane.grid_coordinates,
        "reversed(positions)",
        "positions",
        "plain: loss at the start, upper left",
        _GRID,
    ),
    Mutant(
        "up is down",
        plane.grid_coordinates,
        "axes[-2].flip(0)",
        "axes[-2]",
        "plain: loss at the start, upper left",
        _GRID,
    ),
    Mutant(
        "the origin half a pixel off",
        plane.grid_coordinates,
        "(len(axis) - 1) / 2",
        "len(axis) / 2",
        "plain: loss at the start",
        _GRID,
    ),
    Mutant(
        "a mask keyed by arm",
        start.draw_masks,
        "key.seed,",
        "key.seed + len(key.arm),",
        "plain: masks",
        "sweep/test_compute::test_arms_share_their_masks",
    ),
    Mutant(
        "an off-by-one in the skipped pixels",
        masks.is_trained,
        "around.all(-1)",
        "around[..., [0, 1, 3, 4]].all(-1)",
        "plain: trained pixels",
        "inputs/test_masks::test_is_trained_agrees_with_plain_loops",
    ),
    Mutant(
        "initial weights that do not depend on the seed",
        start.make_plane,
        "key.seed)",
        "1)",
        "plain: black loss, step 1, mean of all fits",
        _OWN_STREAMS,
    ),
    Mutant(
        "images' order that does not depend on the seed",
        start.make_fit,
        'torch_generator("images", key.permille, key.seed)',
        'torch_generator("images", key.permille, 1)',
        "plain: black loss, step 1, mean of all fits",
        _OWN_STREAMS,
    ),
    Mutant(
        "Adam's state shared between arms",
        Fit.follow,
        "self.optimizer.step()",
        "_shared_step(self.optimizer)",
        "bn: black loss, step 2",
        "sweep/test_compute::test_an_arm_leaves_nothing_to_the_next",
    ),
    Mutant(
        "Adam without bias correction",
        Fit.follow,
        "self.optimizer.step()",
        "_uncorrected_step(self.optimizer)",
        "plain: black loss, step 2",
        _BY_HAND,
    ),
    Mutant(
        "the cosine one step ahead",
        Fit.rates_at,
        "step / self.training.steps",
        "(step + 1) / self.training.steps",
        "plain: black loss, step 2",
        _BY_HAND,
    ),
    Mutant(
        "no clipping",
        Fit.follow,
        "self.training.clip",
        "float('inf')",
        "plain: black loss, step 3, clipped",
        _BY_HAND,
    ),
    Mutant(
        "a gradient that forgets a chunk",
        gradient.ObjectiveGradient._gradient,
        "device=frame.device), self.chunk)",
        "device=frame.device), self.chunk)[:1]",
        "plain: white loss, step 1",
        "mpo/test_fit::test_the_chunk_changes_rounding_alone",
    ),
    Mutant(
        "images standardized by those of the test set",
        data.load_data,
        "pooled[0][:trained].double()",
        "pooled[1].double()",
        "plain: loss at the start",
        _SPLIT,
    ),
    Mutant(
        "black and white counted for each other",
        measure.pixels_of,
        "Pixels(mask,",
        "Pixels(~mask,",
        "plain: measured black accuracy",
        _SUMMARY,
    ),
    Mutant(
        "trained pixels reported as all",
        measure.summary_rows,
        "np.ones_like(mask)",
        "trained",
        "plain: measured white accuracy",
        _SUMMARY,
    ),
    Mutant(
        "training images measured as test images",
        measure.measure_fit,
        "data.measured, under",
        "data.train_sample, under",
        "plain: measured black accuracy",
        "mpo/test_landscape::test_a_table_measures_test_and_training_images_apart",
    ),
    Mutant(
        "BN recalibrated on one image",
        landscape.batch_and_reference,
        "reference.pixels[: policy.reference]",
        "reference.pixels[:1]",
        "bn: measured black loss, recalibrate:512",
        "mpo/test_landscape::test_a_policy_is_what_its_slow_twin_says",
    ),
    Mutant(
        "BN statistics of at most 64 images of a batch",
        landscape.batch_and_reference,
        "return policy.images, nothing",
        "return min(policy.images, 64), nothing",
        "bn: black loss on all test images, policy batch:512",
        _POLICY,
    ),
    Mutant(
        "BN recalibrated on at most 64 images",
        landscape.batch_and_reference,
        "reference.pixels[: policy.reference]",
        "reference.pixels[: min(policy.reference, 64)]",
        "bn: measured black loss, recalibrate:512",
        _POLICY,
    ),
    Mutant(
        "the first 100 test images measured for all",
        data.load_data,
        'test if measurement.split == "test"',
        'test.first(100) if measurement.split == "test"',
        "plain: images measured",
        _SPLIT,
    ),
    Mutant(
        "a landscape over the first 100 images",
        landscape.measure_landscape,
        "batches(data, batch)",
        "batches(data.first(100), batch)",
        "plain: black loss on all test images, policy none",
        _POLICY,
    ),
    Mutant(
        "test images measured where held-out ones are asked for",
        data.load_data,
        'test if measurement.split == "test" else held_out',
        "test",
        "plain, other settings: measured black accuracy",
        "inputs/test_data::test_held_out_images_are_the_last_training_images",
    ),
    Mutant(
        "the largest of pooled pixels, not their mean",
        data._pooled,
        "F.avg_pool2d",
        "F.max_pool2d",
        "plain, other settings: black loss, step 1",
        "inputs/test_data::test_pooling_averages_squares",
    ),
    Mutant(
        "half the learning rate where it is constant",
        Fit.rates_at,
        "factor = 1.0",
        "factor = 0.5",
        "plain, other settings: black loss, step 2",
        _BY_HAND,
    ),
    Mutant(
        "the scale s at the learning rate of the rest",
        Fit.__init__,
        "training.learning_rate * training.scale_rate",
        "training.learning_rate",
        "plain, other settings: black loss, step 2",
        _BY_HAND,
    ),
    Mutant(
        "a shared minibatch taken for an own one",
        Fit.__init__,
        '() if training.minibatch == "shared" else (len(is_black),)',
        "(len(is_black),)",
        "plain, other settings: black loss, step 1",
        "mpo/test_fit::test_a_shared_minibatch_is_one_for_all_pixels_of_a_step",
    ),
    Mutant(
        "the corner as origin taken for the centre",
        plane.grid_coordinates,
        'if origin == "centre":',
        "if True:",
        "plain, other settings: black loss, step 1",
        "mpo/test_landscape::test_the_corner_may_be_the_origin",
    ),
    Mutant(
        "a framed mask drawn as a random one",
        masks.draw_mask,
        "mask = _framed(mask)",
        "pass",
        "plain, other settings: masks",
        "inputs/test_masks::test_framed_layout",
    ),
    Mutant(
        "BN's fresh scale of 0 + 1 used as 0 + 0.5",
        BatchNorm.__init__,
        "else 1.0",
        "else 0.5",
        "bn, other settings: black loss, step 1",
        _BN,
    ),
    Mutant(
        "adaptive pooling takes the largest",
        ConvolutionalNetwork.__init__,
        "nn.AdaptiveAvgPool2d",
        "nn.AdaptiveMaxPool2d",
        "plain, other settings: black loss, step 1",
        "arms/test_models::test_plain_is_convolutions_relus_and_two_linear_layers",
    ),
    Mutant(
        "a gain of √2 whatever is asked for",
        networks._start,
        "network.gain",
        "2**0.5",
        "plain, other settings: black loss, step 1",
        "arms/test_models::test_weights_are_xavier_uniform_and_biases_zero",
    ),
    Mutant(
        "skip without its addition",
        ConvolutionalNetwork.forward,
        "maps + after if",
        "after if",
        "skip, other settings: black loss, step 1",
        "arms/test_models::test_skip_adds_a_convolutions_input_where_shapes_agree",
    ),
)
RAN = 100  # added to pytest's exit code, lest an error before pytest pass for a test that failed
_left: dict[int, dict[str, torch.Tensor]] = {}  # by the size of an arm's frame, Adam's state of its scale


def _shared_step(optimizer: torch.optim.Optimizer) -> None:
    """A step of an optimizer that knows parameters by name, and outlives an arm: the scale s is in both."""
    vectors, scale = (group["params"][0] for group in optimizer.param_groups)
    others = [state for size, state in _left.items() if size != vectors.numel()]
    if not optimizer.state and others:
        optimizer.state[scale] = {name: value.clone() for name, value in others[-1].items()}
    optimizer.step()
    _left[vectors.numel()] = optimizer.state[scale]


def _uncorrected_step(optimizer: torch.optim.Optimizer) -> None:
    """A step of Adam whose 1 − βᵗ are all 1, as after very many steps."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter not in optimizer.state:
                moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
                optimizer.state[parameter] = {"step": torch.tensor(1e6), **moments}
    optimizer.step()


_PLANTED = {"_shared_step": _shared_step, "_uncorrected_step": _uncorrected_step, "torch": torch}


@contextmanager
def mutated(mutant: Mutant) -> Iterator[None]:
    """Within, a function has a defect.

    Raises:
        ValueError: the function has no such text; the mutant is out of date.
    """
    function = inspect.unwrap(mutant.function)
    assert isinstance(function, FunctionType)
    source = textwrap.dedent(inspect.getsource(function))
    if mutant.text not in source:
        raise ValueError(f"{function.__qualname__} has no {mutant.text!r}: mend the mutant {mutant.name!r}")
    planted = {name: value for name, value in _PLANTED.items() if name not in function.__globals__}
    names = {**function.__globals__, **planted}
    enclosed = ", ".join(function.__code__.co_freevars)  # __class__, where super() is called
    defective = textwrap.indent(source.replace(mutant.text, mutant.instead), "    ")
    made = f"def enclosing({enclosed}):\n{defective}\n    return {function.__name__}\n"
    exec(compile(made, f"<{mutant.name}>", "exec"), names)
    code = inspect.unwrap(names["enclosing"](*function.__code__.co_freevars)).__code__
    before = function.__code__
    function.__globals__.update(planted)
    _forget()
    function.__code__ = code
    try:
        yield
    finally:
        function.__code__ = before
        for name in planted:
            del function.__globals__[name]
        _forget()


def _forget() -> None:
    """Clear away what has been computed with or without a defect."""
    _left.clear()
    data.load_data.cache_clear()


def table() -> str:
    """The mutants as the table of tests/check/defects.md."""
    lines = ["| defect | the first exact quantity that differs | a unit test that fails, too |", "|---|---|---|"]
    lines += [f"| {mutant.name} | `{mutant.quantity}` | `{mutant.test}` |" for mutant in MUTANTS]
    return "\n".join(lines) + "\n"


def main() -> None:
    if len(sys.argv) == 1:
        print(table(), end="")
        return
    import pytest

    with mutated(MUTANTS[int(sys.argv[1])]):
        sys.exit(RAN + pytest.main(sys.argv[2:]))


if __name__ == "__main__":
    main()
