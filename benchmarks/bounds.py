"""What bounds the engine at compact's shapes: the parts of a step alone, and two other ways to compute it.

    python benchmarks/bounds.py                 milliseconds a pixel, one thread
    python benchmarks/bounds.py --compile       and through torch.compile, which first compiles for a minute

The convolutions, the hidden layer and the weights' way to and from the plane are what no way of computing a
step saves. Grouped convolutions written by hand for this one network show what vmap costs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from engine import IMAGE_SHAPE, PIXELS, Case
from torch import Tensor

from bnbench.mpo import gradient
from bnbench.mpo.batch_norm import BatchNorm
from bnbench.mpo.batched import batched_logits
from bnbench.protocol.profiles import PROFILES
from bnbench.sweep.devices import prepare_process

CHUNK = 64  # what a compact sweep chooses on this machine
TOLERANCE = 1e-5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    prepare_process(threads=1)
    parts = [parts_alone() for _ in range(options.rounds)]
    for name in parts[0]:
        print(f"{name:32}{statistics.median(part[name] for part in parts):8.3f} ms/pixel")
    print(f"{'their sum':32}{statistics.median(sum(part.values()) for part in parts):8.3f} ms/pixel")
    ways: dict[str, Callable[..., Tensor]] = {"vmap": batched_logits, "written by hand": written_by_hand}
    if options.compile:
        ways["vmap, compiled"] = torch.compile(batched_logits, dynamic=False)
    for arm in ("plain", "bn"):
        compare(arm, ways, options.rounds)


def parts_alone() -> dict[str, float]:
    """Forward and backward of each layer for CHUNK networks, its inputs at hand; milliseconds a pixel."""
    network, found = PROFILES["compact"].network, dict[str, float]()
    images = PROFILES["compact"].training.images
    channels, size, _ = IMAGE_SHAPE["compact"]
    for index, (width, stride) in enumerate(zip(network.widths, network.strides, strict=True)):
        maps = torch.randn(images, CHUNK * channels, size, size)
        weight = torch.randn(CHUNK * width, channels, 3, 3)
        forward = partial(F.conv2d, maps, weight, None, stride, 1, 1, CHUNK)
        upstream = torch.randn_like(forward())
        backward = partial(
            torch.ops.aten.convolution_backward,
            *(upstream, maps, weight, None, [stride] * 2, [1, 1], [1, 1], False, [0, 0], CHUNK),
            [index > 0, True, False],
        )
        found[f"convolution {index + 1} ({channels} to {width})"] = seconds(forward) + seconds(backward)
        channels, size = width, upstream.shape[-1]
    inputs = channels * size * size
    maps, weight = torch.randn(CHUNK, images, inputs), torch.randn(CHUNK, network.hidden, inputs)
    upstream = torch.randn(CHUNK, images, network.hidden)
    products = [(maps, weight.transpose(1, 2)), (upstream, weight), (maps.transpose(1, 2), upstream)]
    found["hidden layer"] = sum(seconds(partial(torch.bmm, *pair)) for pair in products)
    size = Case("compact", "plain").plane.layers[-1].stop
    affine, frame, own = torch.randn(CHUNK, 3), torch.randn(3, size), torch.randn(CHUNK, size)
    found["weights from and to the plane"] = seconds(lambda: affine @ frame) + seconds(lambda: affine.T @ own)
    return {name: 1e3 * value / CHUNK for name, value in found.items()}


def compare(arm: str, ways: dict[str, Callable[..., Tensor]], rounds: int) -> None:
    """A step's time for each way, in turn; all must give the same gradient."""
    case = Case("compact", arm)
    step = partial(case.step, case.engine(CHUNK))
    times: dict[str, list[float]] = {name: [] for name in ways}
    expected = step()
    for _ in range(rounds):
        for name, way in ways.items():
            with patch.object(gradient, "batched_logits", way):
                error = float((step() - expected).norm() / expected.norm())
                if error > TOLERANCE:
                    raise SystemExit(f"{arm}, {name}: the gradient is off by {error:.1e}; no time is reported")
                times[name].append(1e3 * seconds(step) / PIXELS["compact"])
    for name, found in times.items():
        print(f"{arm + ', ' + name:32}{statistics.median(found):8.3f} ms/pixel")


def written_by_hand(
    module: Any,
    names: Sequence[str],
    weights: Sequence[Tensor],
    images: Tensor,
    *,
    channels_last: bool = False,
    kernels: None = None,
) -> Tensor:
    """What :func:`batched_logits` gives, for compact's plain and bn networks alone, of more than one pixel at once."""
    assert not channels_last, "a chunk of one pixel"
    own, networks = dict(zip(names, weights, strict=True)), len(weights[0])
    maps = images.transpose(0, 1).flatten(1, 2)  # (B, P · C, H, W)
    for index, (convolution, norm) in enumerate(zip(module.convolutions, module.norms, strict=True)):
        weight, bias = (own[f"convolutions.{index}.{kind}"].flatten(0, 1) for kind in ("weight", "bias"))
        maps = F.conv2d(maps, weight, bias, convolution.stride, convolution.padding, 1, networks)
        if isinstance(norm, BatchNorm):
            scale, shift = (own[f"norms.{index}.{kind}"].flatten() for kind in ("scale", "shift"))
            maps = F.batch_norm(maps, None, None, scale + norm.offset, shift, training=True)
        maps = F.relu(maps)
    features = maps.view(len(maps), networks, -1).transpose(0, 1)
    for name in ("hidden", "output"):
        product = torch.baddbmm(own[f"{name}.bias"].unsqueeze(1), features, own[f"{name}.weight"].transpose(1, 2))
        features = F.relu(product)
    return product


def seconds(work: Callable[[], object]) -> float:
    """The median of some runs after two that warm the caches."""
    times = []
    for _ in range(2 + 15):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


if __name__ == "__main__":
    main()
