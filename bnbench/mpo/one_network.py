"""Ways to compute one network after another, as wide networks are: other than torch does by itself.

Letters: B images of the network, which is given its weights anew in each call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bnbench.mpo.batched import batched_logits, of_every_layer, ordinary_attention

Compile = Callable[[Callable[..., Tensor]], Callable[..., Tensor]]

_COMPILING = threading.Lock()  # several fits may begin at once in one process, and the compiler is not made for that


@runtime_checkable
class OneNetwork(Protocol):
    """What computes one network with the weights that it is given."""

    def logits(self, module: nn.Module, names: Sequence[str], weights: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return logits, (1, B, classes); arguments as of :func:`~bnbench.mpo.batched.batched_logits`."""


class ChannelsLast:
    """Maps lie with channels last in memory: kernels of cuDNN take them so without turning them first."""

    def logits(self, module: nn.Module, names: Sequence[str], weights: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return logits as of :class:`OneNetwork`."""
        return batched_logits(module, names, weights, images, channels_last=True)


class Compiled:
    """One network's forward and backward pass compiled once, its weights among the inputs; channels come last.

    Args:
        compiler: makes the compiled function; by default torch's own, told to choose no kernel by its time, for
            another process could then round otherwise.

    Raises:
        ImportError: the compiler of this torch cannot be told so.
    """

    def __init__(self, compiler: Compile | None = None) -> None:
        self._compiler = compiler or _torch_compiler()
        self._compiled: Callable[..., Tensor] | None = None

    def logits(self, module: nn.Module, names: Sequence[str], weights: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return logits as of :class:`OneNetwork`."""
        places = of_every_layer(module, names, range(len(names)))

        def one(*given: Tensor) -> Tensor:
            own = [weight[0] for weight in given[:-1]]
            last = torch.channels_last
            own = [weight.contiguous(memory_format=last) if weight.dim() == 4 else weight for weight in own]
            named = {name: own[place] for name, place in places.items()}
            logits: Tensor = functional_call(module, named, (given[-1],), tie_weights=False)
            return logits

        seen = images if images.dim() == 4 else images[0]
        with ordinary_attention():
            if self._compiled is None:  # a fit's module and the shapes of its steps never change
                with _COMPILING:
                    self._compiled = self._compiler(one)
                    return self._compiled(*weights, seen).unsqueeze(0)
            return self._compiled(*weights, seen).unsqueeze(0)


def _torch_compiler() -> Compile:
    from torch._inductor import list_options

    if "deterministic" not in list_options():
        raise ImportError("this torch's compiler chooses kernels by their time")
    options: dict[str, Any] = {"deterministic": True}

    def compiler(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        compiled: Callable[..., Tensor] = torch.compile(function, dynamic=False, options=options)
        return compiled

    return compiler
