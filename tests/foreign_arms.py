"""Arms of a user's own: one that works, and some that cannot."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bnbench.mpo.batch_norm import BatchNorm

Shape = tuple[int, int, int]


def _size(image_shape: Shape) -> int:
    channels, rows, columns = image_shape
    return channels * rows * columns


def layer_norm(image_shape: Shape, classes: int) -> nn.Module:
    size = _size(image_shape)
    return nn.Sequential(nn.Flatten(), nn.Linear(size, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, classes))


def group_norm(image_shape: Shape, classes: int) -> nn.Module:
    channels, rows, columns = image_shape
    convolution = nn.Conv2d(channels, 4, 3, padding=1)
    return nn.Sequential(
        convolution, nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * rows * columns, classes)
    )


class Viewed(nn.Module):
    """Flattens by ``view``, which takes maps in one order alone."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.view(len(maps), -1)


class DoubledGradient(torch.autograd.Function):
    """Takes its maps in any order, and views their gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(maps: Tensor) -> Tensor:
        return maps * 1

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None: ...

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        return 2 * gradient.view(len(gradient), -1).view(gradient.shape)


class Doubled(nn.Module):
    """Its gradient comes back twice as large."""

    def forward(self, maps: Tensor) -> Tensor:
        same: Tensor = DoubledGradient.apply(maps)
        return same


def viewing(image_shape: Shape, classes: int, flattened: nn.Module | None = None) -> nn.Module:
    channels, rows, columns = image_shape
    convolutions = nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)
    return nn.Sequential(*convolutions, flattened or Viewed(), nn.Linear(4 * rows * columns, classes))


def viewing_gradients(image_shape: Shape, classes: int) -> nn.Module:
    return viewing(image_shape, classes, nn.Sequential(Doubled(), nn.ReLU(), nn.Flatten()))


def with_batch_norm(image_shape: Shape, classes: int) -> nn.Module:
    channels, rows, columns = image_shape
    convolution = nn.Conv2d(channels, 2, 3, padding=1)
    return nn.Sequential(convolution, BatchNorm(2), nn.Flatten(), nn.Linear(2 * rows * columns, classes))


def running_statistics(image_shape: Shape, classes: int) -> nn.Module:
    channels, rows, columns = image_shape
    convolution = nn.Conv2d(channels, 2, 3, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2 * rows * columns, classes))


def dropout(image_shape: Shape, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(_size(image_shape), classes))


def no_parameters(image_shape: Shape, classes: int) -> nn.Module:
    return nn.Flatten()


def wrong_outputs(image_shape: Shape, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(_size(image_shape), classes + 1))


def constant_weights(image_shape: Shape, classes: int) -> nn.Module:
    linear = nn.Linear(_size(image_shape), classes)
    nn.init.constant_(linear.weight, 0.25)
    return nn.Sequential(nn.Flatten(), linear)


def random_noise(image_shape: Shape, classes: int) -> nn.Module:
    class Noisy(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images + torch.randn_like(images)

    return nn.Sequential(Noisy(), nn.Flatten(), nn.Linear(_size(image_shape), classes))


def counting(image_shape: Shape, classes: int) -> nn.Module:
    class Counter(nn.Module):
        calls: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            return images

    return nn.Sequential(Counter(), nn.Flatten(), nn.Linear(_size(image_shape), classes))


def not_a_module(image_shape: Shape, classes: int) -> Any:
    return "network"


def takes_nothing() -> nn.Module:
    return nn.Linear(1, 1)


NUMBER = 3


def numpy_weights(image_shape: Shape, classes: int) -> nn.Module:
    linear = nn.Linear(_size(image_shape), classes)
    linear.weight.data = torch.from_numpy(np.random.default_rng().normal(size=linear.weight.shape)).float()
    return nn.Sequential(nn.Flatten(), linear)


def own_batch_norm(image_shape: Shape, classes: int) -> nn.Module:
    class Standardized(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return (images - images.mean(0)) / (images.var(0) + 1)

    return nn.Sequential(Standardized(), nn.Flatten(), nn.Linear(_size(image_shape), classes))


def frozen(image_shape: Shape, classes: int) -> nn.Module:
    module = nn.Sequential(nn.Flatten(), nn.Linear(_size(image_shape), classes))
    module[1].bias.requires_grad_(False)
    return module


def varying_size(image_shape: Shape, classes: int) -> nn.Module:
    hidden = int(torch.randint(2, 60, ()))
    return nn.Sequential(nn.Flatten(), nn.Linear(_size(image_shape), hidden), nn.Linear(hidden, classes))


def lazy(image_shape: Shape, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))


partly_given = partial(layer_norm)


def raises_in_forward(image_shape: Shape, classes: int) -> nn.Module:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3))

        def forward(self, images: Tensor) -> Tensor:
            raise RuntimeError("this layer is broken")

    return Broken()


# What follows passes every check and fails in training alone, which it knows by its number of images.
TRAINED_ON = 5


class _Faulty(nn.Module):
    """A network that does something bad to the images that it is trained on."""

    def __init__(self, image_shape: Shape, classes: int) -> None:
        super().__init__()
        self.network = layer_norm(image_shape, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return self.spoilt(logits) if len(images) == TRAINED_ON else logits

    def spoilt(self, logits: Tensor) -> Tensor:
        raise NotImplementedError  # each of those below spoils them in a way of its own


def raises_in_training(image_shape: Shape, classes: int) -> nn.Module:
    class Raising(_Faulty):
        def spoilt(self, logits: Tensor) -> Tensor:
            raise ValueError("this layer gave up")

    return Raising(image_shape, classes)


def lacks_permission(image_shape: Shape, classes: int) -> nn.Module:
    class Barred(_Faulty):
        def spoilt(self, logits: Tensor) -> Tensor:
            raise PermissionError(errno.EACCES, "Permission denied", "/data/secret")

    return Barred(image_shape, classes)


def exits(image_shape: Shape, classes: int) -> nn.Module:
    class Exiting(_Faulty):
        def spoilt(self, logits: Tensor) -> Tensor:
            raise SystemExit(3)

    return Exiting(image_shape, classes)


def not_a_number(image_shape: Shape, classes: int) -> nn.Module:
    class Lost(_Faulty):
        def spoilt(self, logits: Tensor) -> Tensor:
            return logits * float("nan")

    return Lost(image_shape, classes)


def allocates_too_much(image_shape: Shape, classes: int) -> nn.Module:
    class Greedy(_Faulty):
        def spoilt(self, logits: Tensor) -> Tensor:
            torch.empty(2**58)  # an exbibyte
            return logits

    return Greedy(image_shape, classes)


def allocates_too_much_for_many_pixels(image_shape: Shape, classes: int) -> nn.Module:
    class Greedy(_Faulty):
        def spoilt(self, logits: Tensor) -> Tensor:
            pixels = torch._C._functorch.get_unwrapped(logits).shape[0]
            if pixels > 2:
                torch.empty(2**58)
            return logits

    return Greedy(image_shape, classes)


def kills_its_worker(image_shape: Shape, classes: int) -> nn.Module:
    if multiprocessing.current_process().name.startswith("Loky"):
        os.kill(os.getpid(), signal.SIGKILL)
    return layer_norm(image_shape, classes)


def takes_its_time(image_shape: Shape, classes: int) -> nn.Module:
    class Slow(_Faulty):
        def spoilt(self, logits: Tensor) -> Tensor:
            time.sleep(60)
            return logits

    return Slow(image_shape, classes)


class Printing(nn.Module):
    """Prints where it is, as one does when looking for a mistake."""

    def __init__(self, image_shape: Shape, classes: int) -> None:
        super().__init__()
        self.network = layer_norm(image_shape, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images: (B, C, H, W) to (B, classes)."""
        print("a line of the arm's own")
        logits: Tensor = self.network(images)
        return logits


def printing(image_shape: Shape, classes: int) -> nn.Module:
    return Printing(image_shape, classes)


def deadly(image_shape: Shape, classes: int) -> nn.Module:
    """An arm that kills the worker that makes it."""
    if multiprocessing.current_process().name.startswith("Loky"):
        os.kill(os.getpid(), signal.SIGKILL)
    return layer_norm(image_shape, classes)
