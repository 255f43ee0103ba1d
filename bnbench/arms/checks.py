"""A user's own arm looked at and tried before anything is computed."""

from __future__ import annotations

import warnings

import torch

from bnbench.arms.foreign_errors import first_line
from bnbench.arms.layers import check_layers, check_own, check_parameters, layer_named
from bnbench.arms.networks import Factory
from bnbench.arms.scales import Constants, constants_of, reparametrize
from bnbench.arms.state import differing
from bnbench.arms.trial import Trial
from bnbench.errors import ArmError
from bnbench.mpo.plane import flatten, fresh_network


def check_arm(arm: str, factory: Factory, image_shape: tuple[int, int, int], classes: int) -> Constants:
    """Try what a factory makes as a fit does; the global random numbers are left as they were.

    Returns:
        The parameters that have to be stored otherwise.

    Raises:
        ArmError: the module cannot work on a plane; the message names the layer or attribute, and the cause.
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about speed; a fit says them again
        try:
            return _checked(arm, factory, image_shape, classes)
        except ArmError:
            raise
        except (Exception, SystemExit) as error:
            raise ArmError(
                f"--arms {arm} cannot be used ({first_line(error)}); make a network whose parameters are the same in "
                "number and shape each time and are there from the start."
            ) from error


def _checked(arm: str, factory: Factory, image_shape: tuple[int, int, int], classes: int) -> Constants:
    first, again, second = (fresh_network(factory, seed) for seed in (1, 1, 2))
    check_layers(arm, first)
    check_parameters(arm, first)
    check_own(arm, first, second)
    shapes = [[(name, own.shape) for name, own in module.named_parameters()] for module in (first, second)]
    if shapes[0] != shapes[1]:
        raise ArmError(f"--arms {arm} makes networks of different sizes; make it the same size each time.")
    if not torch.equal(flatten(first), flatten(again)):
        raise ArmError(f"--arms {arm} is not the same network twice from one seed; draw its weights with torch alone.")
    for other in (again, second):
        if name := differing(dict(first.named_buffers()), dict(other.named_buffers())):
            raise ArmError(
                f"--arms {arm}: {layer_named(first, name)} draws its buffer {name} anew for every network, and a plane "
                "has but one; give it constant values, drawn with a generator of its own, or make it a parameter."
            )
    constants = constants_of(arm, first, second)
    torch.manual_seed(1)
    trial = Trial(arm, reparametrize(first, constants), reparametrize(second, constants), image_shape, classes)
    trial.of_one_network()
    trial.of_its_state()
    trial.of_many_networks()
    trial.of_a_step()
    trial.of_the_batch()
    return constants
