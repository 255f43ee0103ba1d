"""A user's own network tried: what it returns, what it remembers, and a step as a fit takes it.

Letters: P networks, B images.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bnbench.arms import state
from bnbench.arms.foreign_errors import first_line
from bnbench.arms.layers import described, layer_at_fault, layer_named, layer_that_changes
from bnbench.errors import ArmError
from bnbench.inputs.data import Images
from bnbench.mpo.batch_norm import recalibrated, uses_bn
from bnbench.mpo.batched import batched_logits, call_with, losses_and_hits
from bnbench.mpo.gradient import ObjectiveGradient
from bnbench.mpo.objective import colour_targets
from bnbench.mpo.plane import Plane, flatten, grid_coordinates

_IMAGES = 4
_REPEATED = 50  # times three images, a batch as large as those that a landscape is measured with
_ROUNDING = 1e-3  # relative; what another order of sums may change
_TORCH_COMPLAINTS = (  # what torch says when many networks at once cannot do what one can, and what it means
    (("called random operation",), "draws random numbers", "leave them out: a pixel's loss must not depend on chance"),
    (
        (".item()", "data-dependent", "dynamic shape", ".numpy()", ".tolist()", "data pointer", "numpy()"),
        "turns a tensor into a number or a choice of Python's (float(), .item(), .tolist(), if)",
        "compute with tensors alone (torch.where, multiplication): each network has values of its own",
    ),
    (
        ("does not require grad", "nference tensor"),
        "cuts its outputs off from its parameters",
        "leave out detach(), torch.no_grad(), torch.inference_mode() and derivatives taken in forward",
    ),
    (
        ("escaped from inside",),
        "uses again what an earlier pass has left",
        "leave out torch.utils.checkpoint, and keep nothing between calls",
    ),
    (("inplace", "in-place"), "changes a tensor in place", "write x = x + y instead of x += y or x[...] = y"),
)


class Trial:
    """Two fresh networks of an arm, and a small plane whose weights are neither's own."""

    def __init__(
        self, arm: str, module: nn.Module, other: nn.Module, image_shape: tuple[int, int, int], classes: int
    ) -> None:
        self.arm, self.module, self.other, self.classes = arm, module, other, classes
        vectors = torch.stack([flatten(module), flatten(other), 0.7 * flatten(other) - 0.5 * flatten(module)])
        self.plane = Plane(module, vectors + 0.01 * torch.randn(vectors.shape), 0.5)
        self.names = [layer.name for layer in self.plane.layers]
        self.coordinates = grid_coordinates((2, 2)).to(vectors)
        self.frame = self.plane.frame().detach()
        self.many = self.plane.network_weights(self.frame, self.coordinates)  # of each parameter (P, …)
        self.images = torch.randn(_IMAGES, *image_shape)
        self.logits = self.each = torch.empty(0)  # of the first of them, (B, classes); of all, (P, B, classes)

    def of_one_network(self) -> None:
        """Check that a tensor of logits comes out, a function of weights and images that it leaves alone."""
        images, weights = self.images.clone(), [weight.clone() for weight in self._weights(0)]
        buffers = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        before = _random_state()
        with torch.no_grad():
            found = self._run(lambda: call_with(self.module, self.names, weights, images))
        for name, _ in self.module.named_parameters():
            self._refuse_if(name not in self.names, f"makes its parameter {name} in forward; make it in __init__.")
        self._refuse_if(
            not isinstance(found, Tensor),
            f"forward returns {described(found)}; make it return one tensor of logits, "
            f"({_IMAGES}, {self.classes}) for {_IMAGES} images.",
        )
        self._refuse_if(
            found.shape != (_IMAGES, self.classes),
            f"gives outputs of shape {tuple(found.shape)} for {_IMAGES} images; make it ({_IMAGES}, {self.classes}).",
        )
        if found.dtype not in (torch.float32, torch.float64):
            raise self._refused(f"gives outputs of {found.dtype}; make logits torch.float32.")
        if before != _random_state():
            where = layer_that_changes(self.module, _random_state, lambda: self._alone(self.module, 0))
            raise self._refused(f"{where} draws random numbers in forward; leave them out, or call .eval().")
        if name := state.differing(buffers, dict(self.module.named_buffers())):
            raise self._refused(
                f"{layer_named(self.module, name)} changes its buffer {name} in forward; "
                "no point of a plane has a state: leave it out."
            )
        self._refuse_if(not torch.equal(images, self.images), "forward changes the images in place; copy them first.")
        for name, weight, own in zip(self.names, weights, self._weights(0), strict=True):
            self._refuse_if(
                not torch.equal(weight, own),
                f"forward changes its parameter {name} in place; compute with a changed copy of it.",
            )
        self._refuse_if(
            not bool(found.isfinite().all()),
            "gives logits that are not finite numbers at weights between those of fresh networks; "
            "bound what it takes logarithms, roots or exponentials of.",
        )
        self.logits = found

    def of_its_state(self) -> None:
        """Check that nothing it remembers, nor what one network has and another has not, is in the logits."""
        before = state.attributes(self.module)
        later = self._alone(self.module, 1)
        name = state.differing(before, state.attributes(self.module))
        self._refuse_if(
            _differ(self._alone(self.module, 0), self.logits, name),
            f"gives other outputs for the same weights and images{self._because(name)}; "
            "make forward a function of both alone.",
        )
        fresh = self._alone(self.other, 1)  # its first call, where the other network's was with other weights
        name = state.differing(state.attributes(self.module), state.attributes(self.other))
        self._refuse_if(
            _differ(fresh, later, name) or _differ(self._alone(self.other, 0), self.logits, name),
            f"gives other outputs in another fresh network with the same weights{self._because(name)}; "
            "a plane carries parameters and constant buffers alone: make what forward reads one of them.",
        )
        weights = self._weights(0)
        given = [self.images, *weights, *self.module.buffers()]
        for tensor in state.read_from_outside(lambda: self._alone(self.module, weights, self.images), given):
            name = state.name_of(tensor, self.module)
            raise self._refused(
                f"forward reads a tensor of shape {tuple(tensor.shape)} that is neither parameter nor buffer"
                f"{self._because(name)}, and that no plane carries; use register_buffer or nn.Parameter, "
                "and nn.ModuleList for a list of layers."
            )

    def of_many_networks(self) -> None:
        """Check that several networks at once give what each gives alone."""
        with torch.no_grad():
            together = self._run(lambda: batched_logits(self.module, self.names, self.many, self.images), many=True)
            self.each = torch.stack([self._alone(self.module, number) for number in range(len(together))])
        is_same = _agree(together, self.each)
        self._refuse_if(not is_same, "gives other outputs under torch.func.vmap than for one network alone.")

    def of_a_step(self) -> None:
        """Run forward, backward and the forward pass that finds clamped pixels, as a fit runs them.

        Each network has a minibatch of its own, then all share one, then one network comes after the other.
        """
        pixels, shared = torch.arange(len(self.coordinates)), torch.arange(_IMAGES)
        labels = shared % self.classes
        black, white = (colour_targets(torch.full((len(pixels),), is_black)) for is_black in (True, False))
        expected = losses_and_hits(self.each, labels)[0].mean(1)
        gradients: list[Tensor] = []
        for images, chunk in ((shared.expand(len(pixels), -1), len(pixels)), (shared, len(pixels)), (shared, 1)):
            engine = ObjectiveGradient(self.plane, Images(self.images, labels), self.coordinates, 1e9, chunk)
            step = partial(engine.step, self.frame, pixels)
            gradient, losses, _ = self._run(partial(step, black, images), many=chunk > 1)
            self._refuse_if(
                not _agree(losses, expected),
                "gives other outputs when gradients are taken; leave out torch.is_grad_enabled().",
            )
            gradients.append(gradient)
            self._run(partial(step, white, images, find_clamped=True), many=chunk > 1)
        *several, single = gradients
        self._refuse_if(
            not bool(single.isfinite().all()),
            "has a gradient that is not a finite number at weights between those of fresh networks; "
            "keep roots and norms away from 0.",
        )
        for layer in self.plane.layers:
            alone = single[:, layer.start : layer.stop]
            size = alone.norm() + _ROUNDING * single.norm()
            others = (own[:, layer.start : layer.stop] for own in several)
            self._refuse_if(
                any((other - alone).norm() > 10 * _ROUNDING * size for other in others),
                f"parameter {layer.name} has another gradient under torch.func.vmap than for one network alone.",
            )

    def of_the_batch(self) -> None:
        """Check that an image's logits do not depend on those beside it, but through BN; one may come alone."""
        three = self.images[:3]
        with recalibrated(self.module, 2) if uses_bn(self.module) else nullcontext():
            few, four = self._alone(self.module, 0, three), self._alone(self.module, 0)
            many = self._alone(self.module, 0, three.repeat(_REPEATED, 1, 1, 1))
        self._refuse_if(
            not (_agree(few, four[:3]) and _agree(many, few.repeat(_REPEATED, 1))),
            "an image's output depends on the images beside it; "
            "normalize over the batch with bnbench.BatchNorm, which evaluation knows about.",
        )
        if not uses_bn(self.module):
            single = self._alone(self.module, 0, self.images[:1])
            self._refuse_if(
                single.shape != (1, self.classes),
                f"gives outputs of shape {tuple(single.shape)} for a single image; "
                f"make it (1, {self.classes}), for one with flatten(1) instead of squeeze().",
            )
            is_same = _agree(single, self.logits[:1])
            self._refuse_if(not is_same, "an image's output is another one when it comes alone.")

    def _weights(self, number: int) -> list[Tensor]:
        return [weight[number] for weight in self.many]

    def _alone(self, module: nn.Module, number: int | list[Tensor], images: Tensor | None = None) -> Tensor:
        """Return the logits of one network with the weights of one point, (B, classes)."""
        weights = self._weights(number) if isinstance(number, int) else number
        seen = self.images if images is None else images
        with torch.no_grad():
            found: Tensor = self._run(lambda: call_with(module, self.names, weights, seen))
        return found

    def _run(self, work: Callable[[], Any], *, many: bool = False) -> Any:
        try:
            return work()
        except (Exception, SystemExit) as error:
            text = str(error)
            where = layer_at_fault(self.module, work)
            for signs, cause, advice in _TORCH_COMPLAINTS:
                if any(sign in text for sign in signs):
                    raise self._refused(f"{where} {cause} in forward; {advice}.") from error
            cannot = "cannot run under torch.func.vmap, many networks at once" if many else "fails in forward"
            advice = "use layers that it can carry" if many else f"make it take images {tuple(self.images.shape)}"
            raise self._refused(f"{where} {cannot} ({first_line(error)}); {advice}.") from error

    def _because(self, name: str) -> str:
        return f" ({layer_named(self.module, name)} keeps {name})" if name else ""

    def _refused(self, reason: str) -> ArmError:
        return ArmError(f"--arms {self.arm}: {' '.join(reason.split())}")

    def _refuse_if(self, is_wrong: bool, reason: str) -> None:
        if is_wrong:
            raise self._refused(reason)


def _agree(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are equal up to rounding, whatever their size."""
    return bool((one - other).abs().max() <= _ROUNDING * other.abs().max())


def _differ(one: Tensor, other: Tensor, cause: str) -> bool:
    """Return whether outputs of the same weights differ in a bit; without a cause, by more than rounding."""
    return not torch.equal(one, other) and (bool(cause) or not _agree(one, other))


def _random_state() -> bytes:
    """Return where the global random numbers of torch, Python and NumPy are."""
    return pickle.dumps((torch.get_rng_state().numpy(), random.getstate(), np.random.get_state()))
