"""Eq. 3 and its gradient with respect to a plane's frame, in chunks of pixels.

Letters: P pixels of a step, B images that a pixel sees, n weights, d directions.
"""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch
from torch import Tensor

from bnbench.mpo.batched import batched_logits, losses_and_hits, takes_channels_last
from bnbench.mpo.candidates import CANDIDATES, GROUPED, OF_ONE, ORDINARY, Way, allowed_kernels
from bnbench.mpo.convolutions import Kernels
from bnbench.mpo.cuda_graph import RECORDING
from bnbench.mpo.flops import count_flops
from bnbench.mpo.images import Images
from bnbench.mpo.objective import Targets, is_clamped, weighted_objective
from bnbench.mpo.one_network import OneNetwork
from bnbench.mpo.plane import Plane, with_origin
from bnbench.mpo.replayed import Replayed
from bnbench.mpo.strategy import Strategy, Trial, exact_products

CHUNK = 32  # Pixels at once; with more, their weights leave the processor's cache.


class ObjectiveGradient:
    """Computes many pixels' networks a chunk at a time; the gradients of chunks add up.

    So memory does not grow with the number of pixels in a step. A GPU tries other ways to compute many networks, or
    one after another, on the first step (:class:`~bnbench.mpo.strategy.Trial`), and replays a recording of the whole
    step (:class:`~bnbench.mpo.replayed.Replayed`) once that has proved equal. There every step must have as many
    pixels and images as the first, and neither data nor threshold may be exchanged.

    Args:
        plane: yields the pixels' networks.
        data: training images, on the plane's device and of its dtype.
        coordinates: position of every pixel of the grid, shape (pixels, d).
        threshold: pixels whose target has one are clamped above it.
        chunk: pixels computed at once.
        precision: ``float32`` or ``tf32``, which the device's own settings decide, or ``bfloat16``: networks
            run under autocast, while plane, losses and sums stay as they are.
    """

    def __init__(
        self,
        plane: Plane,
        data: Images,
        coordinates: Tensor,
        threshold: float,
        chunk: int = CHUNK,
        precision: str = "float32",
    ) -> None:
        self.plane, self.data, self.coordinates = plane, data, coordinates
        self.threshold, self.chunk = threshold, chunk
        self.is_autocast, self.is_tf32 = precision == "bfloat16", precision == "tf32"
        self.names = [layer.name for layer in plane.layers]
        self.replayed = Replayed() if plane.vectors.is_cuda else None
        self.kernels: Kernels | None = None  # of many networks' convolutions; torch's own where none are named
        self.one: OneNetwork | None = None  # what computes one network alone; torch where nothing is named
        self.strategy: Strategy | None = None  # unknown until the first step of a GPU tries them
        self.trial: Trial | None = None
        self.preferred = ""  # name of the strategy that was used before
        if self.replayed:
            usual, candidates = (GROUPED, CANDIDATES) if chunk > 1 else (ORDINARY, OF_ONE)
            layers = [slice(layer.start, layer.stop) for layer in plane.layers]
            self.trial = Trial(precision, candidates, usual=usual, layers=layers, record=self.replayed.record)
            self.trial.without(frozenset(candidates) - allowed_kernels())
        self.channels_last: bool | None = None  # unknown until a chunk of one pixel asks
        self.forward_visits = 0  # (pixel, image) pairs that only a forward pass saw
        self.gradient_visits = 0  # and those that a forward and a backward pass saw

    def step(
        self,
        frame: Tensor,
        pixels: Tensor,
        targets: Targets,
        images: Tensor,
        *,
        find_clamped: bool = False,
        replays: bool = True,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradient of a step's objective, and each pixel's loss and accuracy.

        Args:
            frame: origin and directions without a graph, shape (1 + d, n).
            pixels: the step's pixels among those of the grid, shape (P,).
            targets: what eq. 3 asks of each of them.
            images: the images that each pixel sees, shape (P, B), or (B,) when they share one minibatch.
            find_clamped: find clamped pixels by a forward pass without a graph first, and leave
                them out of the second pass: their gradient is exactly zero. It waits for the device.
            replays: whether a GPU may replay its recording; not while the whole step is recorded around it.

        Returns:
            Gradient with respect to the frame, (1 + d, n); mean cross-entropy and share of right answers
            over each pixel's minibatch, both (P,). The next step may overwrite all three.
        """
        if not find_clamped:
            self.gradient_visits += len(pixels) * images.shape[-1]
            step = frame, pixels, *targets, images
            self.choose_kernels(*step)
            if not (self.replayed and replays):
                return self._gradient(*step)
            gradient, losses, accuracies = self.replayed(self._gradient, *step)
            return gradient, losses, accuracies
        losses, accuracies = frame.new_zeros(len(pixels)), frame.new_zeros(len(pixels))
        for part in torch.split(targets.has_threshold.nonzero().squeeze(1), self.chunk):
            with torch.no_grad():
                own = self.own_weights(frame, pixels[part])
                losses[part], accuracies[part] = self.forward(own, _minibatches(images, part))
        self.forward_visits += int(targets.has_threshold.sum()) * images.shape[-1]
        live = (~is_clamped(losses, targets, self.threshold)).nonzero().squeeze(1)
        self.gradient_visits += len(live) * images.shape[-1]
        rest = frame, pixels[live], *targets.part(live), _minibatches(images, live)
        gradient, losses[live], accuracies[live] = self._gradient(*rest)
        return gradient, losses, accuracies

    def choose_kernels(
        self, frame: Tensor, pixels: Tensor, factors: Tensor, has_threshold: Tensor, images: Tensor
    ) -> None:
        """Choose what computes the convolutions, by one step; it waits for the device. Later calls do nothing.

        Nobody records meanwhile, since kernels that are compiled and timed wait for the whole GPU.

        No pixel is clamped meanwhile, so that all gradients are compared, and none hangs on a rounding.

        Args:
            frame: what :meth:`step` takes.
            pixels: those of the step.
            factors: those of the step's targets.
            has_threshold: that of the step's targets.
            images: those of the step.
        """
        if not self.trial or len(pixels) < 2:
            return

        def compute(way: Way | None) -> tuple[Tensor, ...]:
            self._take(way)
            return self._gradient(frame, pixels, factors, has_threshold, images)

        def compute_in_float32(way: Way | None) -> tuple[Tensor, ...]:
            with exact_products() if self.is_tf32 else nullcontext():
                is_autocast, self.is_autocast = self.is_autocast, False
                try:
                    return compute(way)
                finally:
                    self.is_autocast = is_autocast

        trial, self.trial = self.trial, None
        threshold, self.threshold = self.threshold, math.inf
        with RECORDING:
            try:
                proved = trial.proved(self.preferred, compute, compute_in_float32) if self.preferred else None
                self.use(proved or trial.chosen(compute, compute_in_float32))
            finally:
                self.threshold = threshold

    def prefer(self, name: str) -> None:
        """Compute as an earlier part of the fit did, or fits of the same arm, if a step proves that it works here."""
        self.preferred = name

    def use(self, strategy: Strategy) -> None:
        """Compute networks by a strategy from now on."""
        self.strategy = strategy
        self._take(strategy.kernels)

    def _take(self, way: Way | None) -> None:
        self.kernels, self.one = (None, way) if isinstance(way, OneNetwork) else (way, None)

    def _gradient(
        self, frame: Tensor, pixels: Tensor, factors: Tensor, has_threshold: Tensor, images: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        targets, gradient = Targets(factors, has_threshold), torch.zeros_like(frame)
        losses, accuracies = frame.new_zeros(len(pixels)), frame.new_zeros(len(pixels))
        for part in torch.split(torch.arange(len(pixels), device=frame.device), self.chunk):
            own = [weight.requires_grad_() for weight in self.own_weights(frame, pixels[part])]
            loss, accuracy = self.forward(own, _minibatches(images, part))
            value = weighted_objective(loss, targets.part(part), self.threshold)
            self.add_through_plane(gradient, torch.autograd.grad(value, own, materialize_grads=True), pixels[part])
            losses[part], accuracies[part] = loss.detach(), accuracy
        return gradient, losses, accuracies

    @property
    def refusal(self) -> str:
        """Return why a GPU does not replay its steps; empty where it does, and where there is none."""
        return self.replayed.refusal if self.replayed else ""

    @property
    def notes(self) -> list[str]:
        """Return what a fit's provenance says of its steps: where a GPU refused a faster way to compute them."""
        notes = [f"its steps were not replayed as one CUDA graph ({self.refusal})"] if self.refusal else []
        if self.strategy and self.strategy.is_refused:
            notes.append(f"other kernels for its networks were refused: {self.strategy}")
        return notes

    def flops(self, image_shape: tuple[int, int, int]) -> float:
        """Return the floating-point operations of all calls so far."""
        one = count_flops(self.plane, image_shape)
        return self.forward_visits * one.forward + self.gradient_visits * one.gradient

    def own_weights(self, frame: Tensor, pixels: Tensor) -> list[Tensor]:
        """Return the weights of pixels on a frame (1 + d, n): for each layer of the network shape (pixels, …)."""
        return self.plane.network_weights(frame, self.coordinates[pixels])

    def forward(self, weights: list[Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each network over its minibatch, and its accuracy, both (networks,)."""
        module, seen = self.plane.module, self.data.pixels[images]
        with torch.autocast(weights[0].device.type, torch.bfloat16, enabled=self.is_autocast):
            if self.one and len(weights[0]) == 1:
                logits = self.one.logits(module, self.names, weights, seen)
            else:
                last = len(weights[0]) == 1 and self._takes_channels_last(weights)
                logits = batched_logits(module, self.names, weights, seen, channels_last=last, kernels=self.kernels)
        losses, hits = losses_and_hits(logits.to(weights[0].dtype), self.data.labels[images])
        return losses.mean(1), hits.to(losses.dtype).mean(1)

    def _takes_channels_last(self, weights: list[Tensor]) -> bool:
        """Say whether a network alone is to have its channels last.

        On a CPU a step at the paper's shapes takes 15 % less so; a GPU's trial finds out.
        """
        if self.channels_last is None:
            module, few = self.plane.module, self.data.pixels[:2]
            self.channels_last = not few.is_cuda and takes_channels_last(module, self.names, weights, few)
        return self.channels_last

    def add_through_plane(self, gradient: Tensor, own: tuple[Tensor, ...], pixels: Tensor) -> None:
        """Apply the chain rule through eq. 1, layer by layer: gradient += (1, α, β)ᵀ · own gradients.

        A layer's P gradients may lie transposed in memory, as a linear layer's do. They are taken as they lie:
        turning the 1 + d sums instead of the P gradients saves 5 % of a step at compact's shapes.
        """
        affine = with_origin(self.coordinates[pixels]).T
        for layer, layer_gradient in zip(self.plane.layers, own, strict=True):
            strides, size = layer_gradient.stride(), layer.stop - layer.start
            memory_order = sorted(range(1, len(strides)), key=strides.__getitem__, reverse=True)
            rows = layer_gradient.permute(0, *memory_order)  # contiguous
            # The size is said, because a single number, shape (), and an empty layer do not tell it.
            sums = (affine @ rows.reshape(len(rows), size)).view(len(affine), *rows.shape[1:])
            in_layer_order = sums.permute(0, *(1 + memory_order.index(axis) for axis in range(1, len(strides))))
            gradient[:, layer.start : layer.stop] += in_layer_order.reshape(len(affine), size)


def _minibatches(images: Tensor, pixels: Tensor) -> Tensor:
    """Return the minibatches of some of a step's pixels; the one that all share, where they share it."""
    return images[pixels] if images.dim() == 2 else images
