"""Arms that cannot work on a plane, each with what its refusal must name: the layer or attribute, and the cause.

They are looked up by name in ``REFUSED``: ``tests.arms_refused:spectral_norm``.
"""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from bnbench.mpo.batch_norm import BatchNorm
from tests.arms_taken import WIDTH, Attention, DropPath, Factory, Shape, computed, dense, encoder_layer, linear, rows

PROJECTION = torch.randn(WIDTH, WIDTH)
SCALE = nn.Parameter(torch.ones(WIDTH))
NETWORK = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
ARRAY = np.random.default_rng().normal(size=(WIDTH, WIDTH)).astype(np.float32)


class ModelOutput(OrderedDict[str, Tensor]):
    """Hugging Face's, which is a dictionary."""


@dataclass
class ClassifierOutput:
    """The same as a dataclass."""

    logits: Tensor
    hidden: Tensor


def returning(function: Callable[[Tensor], Any]) -> Factory:
    """A network whose logits are given to a function at the end."""
    return lambda shape, classes: nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(shape), classes), computed(lambda _, x: function(x))()
    )


class Keeping(nn.Module):
    """A layer with something in a plain attribute."""

    def __init__(self, kept: Any, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.kept, self.function = kept, function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.kept, x)


def keeping(make: Callable[[], Any], function: Callable[[Any, Tensor], Tensor]) -> Factory:
    return dense(lambda: Keeping(make(), function))


class Frozen(nn.Module):
    """Caches its product of weights in the first call."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = linear()
        self.cached: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.cached is None:
            self.cached = self.layer.weight @ self.layer.weight
        return x @ self.cached


class Scheduled(nn.Module):
    """A schedule: what it gives depends on how often it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * (1 + self.calls / 100)


class Projected(nn.Module):
    """EEGNet's max-norm: clamps its own weight in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data.clamp_(-0.1, 0.1)
        return x @ self.weight


class Centred(nn.Module):
    """Changes the images that it is given."""

    def forward(self, x: Tensor) -> Tensor:
        x -= 0.5
        return x


class UsesProjection(nn.Module):
    """Reads a global that is drawn when the file is imported."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ PROJECTION


class UsesArray(nn.Module):
    """The same from NumPy."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ torch.from_numpy(ARRAY)


class Average(nn.Module):
    """A moving average of its inputs, as vector quantization keeps one; it is used in eval mode too."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(WIDTH), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.mean.lerp_(x.mean(0).detach(), 0.1)
        return x


def at_random(_: Any, x: Tensor) -> Tensor:
    return x * random.random()


def with_a_default() -> nn.Module:
    def product(_: Any, x: Tensor, w: Tensor = torch.ones(WIDTH)) -> Tensor:  # noqa: B008, what is tried
        return x * w

    return computed(product)()


def recurrent(kind: Callable[..., nn.RNNBase]) -> Factory:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = kind(WIDTH, WIDTH, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.rnn(x)[0]
            return output

    return rows(Last)


def cast(factory: Factory, dtype: torch.dtype) -> Factory:
    return lambda shape, classes: factory(shape, classes).to(dtype)


def batch_norm_centred() -> nn.Module:
    return nn.Sequential(BatchNorm(WIDTH), computed(lambda _, x: x - x.mean(0))())


def number() -> nn.Parameter:
    return nn.Parameter(torch.randn(()))


class WithTable(nn.Module):
    """A table of the class."""

    TABLE = torch.ones(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.TABLE


class Circular(nn.Module):
    """Layers that know each other, and that torch does not know of."""

    def __init__(self, other: Circular | None = None) -> None:
        super().__init__()
        self.layer = linear()
        self.others = [other or Circular(self)]

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.others[0].layer(x)
        return y


class LateBuffer(nn.Module):
    """Registers a buffer when it is called."""

    late: Tensor

    def forward(self, x: Tensor) -> Tensor:
        self.register_buffer("late", torch.ones(len(x), 1))
        return x * self.late


class Inferring(nn.Module):
    """Runs its layer for inference alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = linear()

    def forward(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            y: Tensor = self.layer(x)
        return y


class Renormed(nn.Module):
    """An embedding whose rows are shortened when they are used."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Embedding(WIDTH, WIDTH, max_norm=0.5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.layer((x > 0).long()).mean(1)
        return y


class Framed(nn.Module):
    """Copies images into a larger frame, which an own minibatch of each network cannot do in place."""

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        self.output = nn.Linear(shape[0] * (shape[1] + 2) * (shape[2] + 2), classes)

    def forward(self, x: Tensor) -> Tensor:
        frame = torch.zeros(len(x), x.shape[1], x.shape[2] + 2, x.shape[3] + 2)
        frame[:, :, 1:-1, 1:-1] = x
        logits: Tensor = self.output(frame.flatten(1))
        return logits


def on_images(function: Callable[[Tensor], Tensor]) -> Factory:
    """A network that begins with a function of the images alone."""
    return lambda shape, classes: nn.Sequential(
        computed(lambda _, x: function(x))(), nn.Flatten(), nn.Linear(math.prod(shape), classes)
    )


def bytes_to_unit(x: Tensor) -> Tensor:
    return x / 255 if x.max() > 100 else x


def finite(x: Tensor) -> Tensor:
    assert torch.isfinite(x).all()
    return x


class MakesItsLayer(nn.Module):
    """A lazy layer by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.layer: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.layer is None:
            self.layer = linear()
        y: Tensor = self.layer(x)
        return y


class ByDefault(nn.Module):
    """Its activation is a default argument: one for all networks."""

    def __init__(self, activation: nn.Module = nn.PReLU()) -> None:  # noqa: B008, what is tried
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(x)
        return y


class OfAll(nn.Module):
    """Its scale is a global parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.g = SCALE

    def forward(self, x: Tensor) -> Tensor:
        return x * self.g


class TiedByMemory(nn.Module):
    """An autoencoder's tied weights: two parameters whose numbers lie in one place."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = linear(), linear()
        self.other.weight.data = self.one.weight.data.T

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.other(torch.tanh(self.one(x)))
        return y


class Ghost(nn.Module):
    """Batch normalization over 16 images at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.norm(part) for part in x.split(16)])


class Checkpointed(nn.Module):
    """Computes its layer once more in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = linear()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = checkpoint(self.layer, x, use_reentrant=False)
        return y


def seeded(shape: Shape, classes: int) -> nn.Module:
    torch.manual_seed(42)
    return dense(linear)(shape, classes)


def compiled_in_place(shape: Shape, classes: int) -> nn.Module:
    module = dense(linear)(shape, classes)
    module.compile(backend="eager")
    return module


def times(_: Any, x: Tensor, w: Tensor) -> Tensor:
    return x * w


def draw_again(own: Any, x: Tensor) -> Tensor:
    return x + torch.randn(WIDTH, generator=own.g)


def sparse(shape: Shape, classes: int) -> nn.Module:
    return dense(computed(lambda own, x: x @ own.w.to_dense(), w=lambda: torch.eye(WIDTH).to_sparse()))(shape, classes)


REFUSED: dict[str, tuple[Factory, str]] = {
    # state beside the parameters
    "random_buffer": (
        dense(computed(lambda own, x: x @ own.w, w=lambda: torch.randn(WIDTH, WIDTH))),
        r"layer 2 \(Computed\).* buffer 2\.w ",
    ),
    "unread_buffer": (dense(computed(lambda _, x: x, w=lambda: torch.randn(2))), r"buffer 2\.w "),
    "spectral_norm": (
        dense(lambda: parametrizations.spectral_norm(linear()).eval()),
        r"layer 2\.parametrizations\.weight\.0 \(_SpectralNorm\).* buffer 2\.parametrizations\.weight\.0\._u",
    ),
    "spectral_norm_in_training": (
        dense(lambda: parametrizations.spectral_norm(linear())),
        r"_SpectralNorm\).* buffer",
    ),
    "random_attribute": (keeping(lambda: torch.randn(WIDTH), torch.mul), r"layer 2 \(Keeping\) .*2\.kept"),
    "constant_attribute": (
        keeping(lambda: torch.arange(4.0), torch.mul),
        r"buffer .*layer 2 \(Keeping\) .*2\.kept\).*register_buffer",
    ),
    "random_array": (
        keeping(lambda: np.random.default_rng().normal(size=4), lambda a, x: x * torch.tensor(a, dtype=x.dtype)),
        r"2\.kept",
    ),
    "constant_array": (
        keeping(lambda: np.ones(4, np.float32), lambda a, x: x * torch.from_numpy(a)),
        r"buffer .*layer 2 \(Keeping\) .*2\.kept\)",
    ),
    "random_number": (keeping(random.random, lambda a, x: x * a), r"2\.kept"),
    "torch_number": (keeping(lambda: torch.rand(()).item(), lambda a, x: x * a), r"2\.kept"),
    "list_of_tensors": (
        keeping(lambda: [torch.randn(WIDTH)], lambda a, x: x * a[0]),
        r"2\.kept\[0\]",
    ),
    "list_of_layers": (keeping(lambda: [linear(), linear()], lambda a, x: a[1](x)), r"2\.kept\[0\]\.weight"),
    "dictionary": (keeping(lambda: {"w": torch.randn(4)}, lambda a, x: x * a["w"]), r"2\.kept\['w'\]"),
    "closure": (
        dense(lambda: (lambda w: computed(lambda _, x: x * w)())(torch.randn(WIDTH))),
        r"2\.function \(w\)",
    ),
    "global_tensor": (dense(UsesProjection), r"buffer .*PROJECTION"),
    "global_array": (dense(UsesArray), r"buffer .*ARRAY"),
    "class_attribute": (dense(WithTable), r"buffer .*WithTable\['TABLE'\]"),
    "default_argument": (
        dense(with_a_default),
        r"buffer .*2\.function \(default\)",
    ),
    "partly_given": (
        dense(lambda: computed(partial(times, w=torch.randn(WIDTH)))()),
        r"other outputs .*2\.function \(partial\)",
    ),
    "each_in_the_other": (dense(Circular), r"2\.others\[0\]\.layer\.weight"),
    "orthogonal": (dense(lambda: parametrizations.orthogonal(linear())), r"buffer .*\.base"),
    "generator": (
        dense(computed(draw_again, g=lambda: torch.Generator().manual_seed(1))),
        r"other outputs|random",
    ),
    "buffer_made_in_forward": (dense(LateBuffer), r"layer 2 \(LateBuffer\) .*buffer 2\.late"),
    "cached_weights": (dense(Frozen), r"other outputs .*2\.cached"),
    "schedule": (dense(Scheduled), r"other outputs .*2\.calls"),
    "moving_average": (dense(Average), r"layer 2 \(Average\) .*buffer 2\.mean"),
    "sparse_buffer": (sparse, r"layer 2 \(Computed\) .*sparse buffer 2\.w"),
    # not a network's own
    "a_network": (NETWORK, r"factory\(image_shape, classes\)"),
    "one_network": (lambda _, __: NETWORK, "same network"),
    "default_layer": (dense(ByDefault), r"layer 2\.activation \(PReLU\) .*same parameter"),
    "global_parameter": (dense(OfAll), r"layer 2 \(OfAll\) .*same parameter 2\.g "),
    "seeded": (seeded, r"parameter 1\.weight .*seed"),
    "tied_by_memory": (dense(TiedByMemory), r"2\.one\.weight .*2\.other\.weight .*memory"),
    "made_in_forward": (dense(MakesItsLayer), r"parameter 2\.layer\.weight .*forward"),
    "elsewhere": (dense(lambda: linear().to("meta")), r"parameter 2\.weight .*meta"),
    # changes in place
    "framed": (Framed, r"\(Framed\) .*in place"),
    "changes_images": (
        lambda shape, classes: nn.Sequential(Centred(), nn.Flatten(), nn.Linear(math.prod(shape), classes)),
        "images in place",
    ),
    "changes_weights": (dense(Projected), r"parameter 2\.weight in place"),
    # chance
    "dropout": (dense(lambda: nn.Dropout(0.5)), r"layer 2 \(Dropout\) .*random numbers"),
    "drop_path": (dense(DropPath), r"layer 2 \(DropPath\) .*random numbers"),
    "dropout_function": (
        dense(computed(lambda _, x: F.dropout(x, 0.1))),
        r"layer 2 \(Computed\) .*random numbers",
    ),
    "chance_of_python": (dense(computed(at_random)), r"layer 2 \(Computed\) .*random numbers"),
    "encoder_with_dropout": (
        rows(lambda: encoder_layer(dropout=0.1)),
        r"layer layer\.dropout \(Dropout\) .*random numbers",
    ),
    # the outputs
    "detached": (returning(lambda x: x.detach()), "cuts"),
    "inference": (dense(Inferring), "cuts|forward"),
    "tuple": (returning(lambda x: (x, x)), "tuple of 2.*tensor"),
    "dictionary_output": (returning(lambda x: {"logits": x}), "dict .*logits"),
    "model_output": (returning(lambda x: ModelOutput(logits=x)), "ModelOutput .*logits"),
    "dataclass_output": (returning(lambda x: ClassifierOutput(x, x)), "ClassifierOutput .*logits, hidden"),
    "nothing": (returning(lambda _: None), "NoneType"),
    "half_numbers": (returning(lambda x: x.bfloat16()), r"torch\.bfloat16"),
    "by_gradients": (
        returning(lambda x: x if torch.is_grad_enabled() else 2 * x),
        "other outputs .*gradients",
    ),
    "whole_numbers": (returning(lambda x: (x > 0).long()), r"torch\.int64"),
    "squeezed": (
        returning(lambda x: x[None].transpose(0, 1).squeeze()),
        r"\(3,\) .*squeeze",
    ),
    "one_too_many": (returning(lambda x: torch.cat([x, x[:, :1]], 1)), r"\(4, 4\) .*4 images"),
    "not_a_number": (returning(lambda x: (x - 100).log()), "finite"),
    "gradient_not_a_number": (
        returning(lambda x: x + (x * 0).abs().sum().sqrt()),
        "gradient .*finite",
    ),
    # the batch
    "centred": (dense(computed(lambda _, x: x - x.mean(0))), "beside"),
    "normed_by_all": (dense(computed(lambda _, x: x / x.norm())), "beside"),
    "attention_over_images": (dense(computed(lambda _, x: (x @ x.T).softmax(1) @ x)), "beside"),
    "flipped": (returning(lambda x: x.flip(0)), "beside"),
    "centred_batch_norm": (dense(batch_norm_centred), "beside"),
    "ghost_batch_norm": (dense(Ghost), "beside"),
    "in_large_batches": (dense(computed(lambda _, x: x if len(x) < 99 else x + x.mean(0))), "beside"),
    "batch_norm_1d": (
        dense(lambda: nn.BatchNorm1d(WIDTH)),
        r"layer 2 \(BatchNorm1d\) .*running statistics",
    ),
    "instance_norm": (
        lambda shape, classes: nn.Sequential(
            nn.InstanceNorm2d(shape[0], track_running_stats=True), nn.Flatten(), nn.Linear(math.prod(shape), classes)
        ),
        r"layer 0 \(InstanceNorm2d\) .*running statistics",
    ),
    # what many networks at once cannot do
    "gru": (recurrent(nn.GRU), r"layer layer\.rnn \(GRU\) .*recurrent .*nn\.GRUCell"),
    "lstm": (recurrent(nn.LSTM), r"layer layer\.rnn \(LSTM\) .*recurrent .*nn\.Linear"),
    "float_of_parameter": (
        dense(computed(lambda own, x: x * float(own.g), g=number)),
        r"layer 2 \(Computed\) .*into a number",
    ),
    "item": (dense(computed(lambda own, x: x * own.g.item(), g=number)), "into a number"),
    "if_parameter": (dense(computed(lambda own, x: x if own.g > 0 else -x, g=number)), "into a number"),
    "if_images": (on_images(bytes_to_unit), r"layer 0 \(Computed\) .*into a number"),
    "assert_images": (on_images(finite), r"layer 0 \(Computed\) .*into a number"),
    "checkpointed": (dense(Checkpointed), r"torch\.utils\.checkpoint"),
    "to_numpy": (
        dense(computed(lambda _, x: torch.from_numpy(np.tanh(x.detach().numpy())) + 0 * x)),
        "into a number",
    ),
    "boolean_index": (dense(computed(lambda _, x: x + x[x > 0].mean())), "into a number"),
    # parameters
    "double": (cast(dense(linear), torch.float64), r"parameter 1\.weight is torch\.float64.*torch\.float32"),
    "half": (cast(dense(linear), torch.float16), r"parameter 1\.weight is torch\.float16"),
    "constant_matrix": (
        dense(computed(lambda own, x: x @ own.w, w=lambda: nn.Parameter(torch.eye(WIDTH)))),
        r"parameter 2\.w .*same",
    ),
    # what is around it
    "data_parallel": (
        lambda shape, classes: nn.DataParallel(dense(linear)(shape, classes)),
        r"\(DataParallel\)",
    ),
    "compiled": (
        lambda shape, classes: nn.Sequential(dense(linear)(shape, classes), torch.jit.script(nn.ReLU())),
        r"layer 1 \(RecursiveScriptModule\) .*compiled",
    ),
    "compiled_in_place": (compiled_in_place, r"\(Sequential\) .*compiled"),
    "fixed_batch": (returning(lambda x: x.view(4, -1)), "forward|shape"),
    "embedding": (dense(Renormed), r"parameter 2\.layer\.weight in place"),
    "takes_one": (lambda _: nn.Linear(1, 1), "image shape .*classes"),  # type: ignore[dict-item, misc]  # wrong on purpose
    "wrong_inside": (lambda shape, classes: nn.Linear(shape, classes), r"\(TypeError: [^;]*\)\.$"),  # type: ignore[arg-type]  # wrong on purpose
    "too_small": (
        lambda shape, classes: nn.Sequential(nn.Conv2d(shape[0], 1, 9), nn.Flatten(), nn.Linear(1, classes)),
        r"layer 0 \(Conv2d\) .*forward \(RuntimeError",
    ),
    "heads": (
        rows(lambda: Attention(average_attn_weights=None, wrong=1)),
        r"layer layer\.attention \(MultiheadAttention\) .*forward",
    ),
}


def __getattr__(name: str) -> Factory:
    try:
        return REFUSED[name][0]
    except KeyError:
        raise AttributeError(name) from None
