"""Arms as users of torchvision, timm and Hugging Face write them, each of which must be computed right.

They are looked up by name in ``TAKEN``: ``tests.arms_taken:prelu``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from bnbench.mpo.batch_norm import BatchNorm

Shape = tuple[int, int, int]
Factory = Callable[[Shape, int], nn.Module]
WIDTH = 4
TABLE = torch.linspace(0, 1, WIDTH)  # a test exchanges it, as another machine's would be another one


def dense(layer: Callable[[], nn.Module]) -> Factory:
    """A layer between two linear ones, on vectors (B, 4)."""
    return lambda shape, classes: nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(shape), WIDTH), layer(), nn.Linear(WIDTH, classes)
    )


def maps(layer: Callable[[], nn.Module]) -> Factory:
    """A layer between a convolution and the classes, on maps (B, 4, H, W)."""
    return lambda shape, classes: nn.Sequential(
        nn.Conv2d(shape[0], WIDTH, 3, stride=2, padding=1),
        layer(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * WIDTH, classes),
    )


class Rows(nn.Module):
    """A layer on sequences: the rows of an image, embedded, (B, H, 4); their mean goes to the classes."""

    def __init__(self, shape: Shape, classes: int, layer: nn.Module) -> None:
        super().__init__()
        self.embedding, self.layer = nn.Linear(shape[0] * shape[2], WIDTH), layer
        self.output = nn.Linear(WIDTH, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.output(self.layer(self.embedding(images.transpose(1, 2).flatten(2))).mean(1))
        return logits


def rows(layer: Callable[[], nn.Module]) -> Factory:
    return lambda shape, classes: Rows(shape, classes, layer())


class Computed(nn.Module):
    """A layer of a function, with parameters, buffers and attributes by name."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor], **state: Any) -> None:
        super().__init__()
        self.function = function
        for name, value in state.items():
            if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self, maps: Tensor) -> Tensor:
        return self.function(self, maps)


def computed(function: Callable[[Any, Tensor], Tensor], **state: Callable[[], Any]) -> Callable[[], nn.Module]:
    return lambda: Computed(function, **{name: make() for name, make in state.items()})


def number(value: float) -> Callable[[], nn.Parameter]:
    return lambda: nn.Parameter(torch.tensor(value))


def vector(value: float) -> Callable[[], nn.Parameter]:
    return lambda: nn.Parameter(torch.full((WIDTH,), value))


class LlamaRMSNorm(nn.Module):
    """Hugging Face's, by name and layout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


class LayerNorm2d(nn.LayerNorm):
    """ConvNeXt's: over the channels of maps."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class BatchNormAct2d(nn.BatchNorm2d):
    """timm's: normalization and activation in one."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps))


class FrozenBatchNorm2d(nn.Module):
    """torchvision.ops': constants alone."""

    def __init__(self) -> None:
        super().__init__()
        for name, value in (("weight", 1.5), ("bias", 0.5), ("running_mean", 0.1), ("running_var", 2.0)):
            self.register_buffer(name, torch.full((WIDTH,), value))

    def forward(self, x: Tensor) -> Tensor:
        weight, bias, mean, variance = (own.view(1, -1, 1, 1) for own in self.buffers())
        return (x - mean) * (variance + 1e-5).rsqrt() * weight + bias


class Attention(nn.Module):
    """Self-attention by ``nn.MultiheadAttention`` or by the function itself."""

    def __init__(self, heads: int = 2, own: bool = False, **options: Any) -> None:
        super().__init__()
        self.own = own
        self.attention = nn.Linear(WIDTH, 3 * WIDTH) if own else nn.MultiheadAttention(WIDTH, heads, batch_first=True)
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        if not self.own:
            mixed: Tensor = self.attention(x, x, x, **self.options)[0]
            return mixed
        q, k, v = self.attention(x).unflatten(-1, (3, 2, WIDTH // 2)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v, **self.options).transpose(1, 2).flatten(2)


class Recurrent(nn.Module):
    """A cell over the rows."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros_like(x[:, 0])
        states = []
        for row in x.unbind(1):
            state = self.cell(row, state)
            states.append(state)
        return torch.stack(states, 1)


class Mixer(nn.Module):
    """MLP-Mixer's block over 8 rows."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.tokens, self.channels = nn.Linear(8, 8), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        return x + F.gelu(self.channels(self.norms[1](x)))


class Excited(nn.Module):
    """Squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(WIDTH, 2, 1), nn.Conv2d(2, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.excite(F.silu(self.squeeze(x.mean((2, 3), keepdim=True)))))


class Twice(nn.Module):
    """One layer under two names."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.b = layer
        self.c = self.b

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.c(torch.tanh(self.b(x)))
        return x + y


class Tied(nn.Module):
    """Two layers that hold one weight, the second of them turned where it has to be."""

    def __init__(self, make: Callable[[], nn.Module], *leaves: str) -> None:
        super().__init__()
        self.one, self.other = make(), make()
        for leaf in leaves or ("weight",):
            setattr(self.other, leaf, getattr(self.one, leaf))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.other(torch.tanh(self.one(x)) + 0.1)
        return y


def repeated(depth: int) -> nn.Module:
    layer = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.GELU())
    return nn.Sequential(*[layer] * depth)


class DropPath(nn.Module):
    """timm's, which draws in training alone."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.empty(len(x), 1).bernoulli_(0.5) if self.training else x


class Remembering(nn.Module):
    """Keeps what nobody reads: a count, the last maps, a module of Python, a logger's like."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.last, self.np, self.config = 0, torch.zeros(1), np, SimpleNamespace(width=4, name="x")

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.last = x.detach()
        y: Tensor = x * self.config.width / self.np.sqrt(4.0)
        return y


@dataclass
class Settings:
    """What a configuration object looks like."""

    widths: list[int] = field(default_factory=lambda: [1, 2])
    slope: float = 0.2


class CallsItself(nn.Module):
    """Keeps functions of its own layers, and its parent, where torch does not look."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = linear()
        self.steps: list[Callable[[Tensor], Tensor]] = [lambda x: self.layer(x), torch.tanh, self.again]
        self.parent = [self]

    def again(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        return x


class StandardizedConv2d(nn.Conv2d):
    """timm's: normalizes its own weights by ``F.batch_norm``."""

    def forward(self, x: Tensor) -> Tensor:
        flat = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(flat, None, None, training=True, momentum=0.0, eps=1e-6).view_as(self.weight)
        return F.conv2d(x, weight, self.bias, padding=1)


class Biased(nn.Module):
    """Swin's attention: a table of biases, looked up by a constant index."""

    index: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.table, self.qkv = nn.Parameter(torch.randn(15, 2) / 5), nn.Linear(WIDTH, 3 * WIDTH)
        self.register_buffer("index", torch.arange(8)[:, None] - torch.arange(8) + 7)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, WIDTH // 2)).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) + self.table[self.index].permute(2, 0, 1)
        y: Tensor = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        return y


class Hooked(nn.Module):
    """Takes its features out of a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = linear()
        self.features: dict[str, Tensor] = {}
        self.layer.register_forward_hook(lambda _, __, output: self.features.update(out=output))

    def forward(self, x: Tensor) -> Tensor:
        self.layer(x)
        y: Tensor = self.features.pop("out")
        return y


class SharedActivation(nn.Module):
    """A default argument without parameters, which all networks may share."""

    def __init__(self, activation: nn.Module = nn.GELU()) -> None:  # noqa: B008, what is tried
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(x)
        return y


def response(own: Any, x: Tensor) -> Tensor:
    size = x.norm(dim=(2, 3), keepdim=True)
    y: Tensor = x + own.gamma * x * size / (size.mean(1, keepdim=True) + 1e-6)
    return y


def traced(shape: Shape, classes: int) -> nn.Module:
    return torch.fx.symbolic_trace(dense(linear)(shape, classes))


def turn(_: Any, x: Tensor) -> Tensor:
    angles = torch.arange(x.shape[1], dtype=x.dtype)[:, None] * 0.1
    first, second = x.chunk(2, -1)
    return torch.cat([first * angles.cos() - second * angles.sin(), first * angles.sin() + second * angles.cos()], -1)


def complex_turn(own: Any, x: Tensor) -> Tensor:
    turned = torch.view_as_complex(x.float().unflatten(-1, (-1, 2))) * own.turns
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)


def look_back(_: Any, x: Tensor) -> Tensor:
    scores = (x @ x.transpose(1, 2)).masked_fill(torch.ones(8, 8).tril() == 0, -1e9)
    return scores.softmax(-1) @ x


def vision_transformer(shape: Shape, classes: int) -> nn.Module:
    from torchvision.models import VisionTransformer  # takes two seconds to import

    return nn.Sequential(
        nn.Conv2d(shape[0], 3, 1), VisionTransformer(shape[1], 4, 1, 1, 4, 4, dropout=0.1, num_classes=classes)
    ).eval()


def non_persistent(own: nn.Module) -> nn.Module:
    own._non_persistent_buffers_set |= set(dict(own.named_buffers()))
    return own


def encoder_layer(**options: Any) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(WIDTH, 2, 4, batch_first=True, **options)


def linear() -> nn.Linear:
    return nn.Linear(WIDTH, WIDTH)


def scaled(own: Any, x: Tensor) -> Tensor:
    y: Tensor = x * own.g
    return y


TAKEN: dict[str, Factory] = {
    # normalizations
    "llama_norm": rows(lambda: LlamaRMSNorm(WIDTH)),
    "rms_norm": dense(lambda: nn.RMSNorm(WIDTH)),
    "layer_norm_2d": maps(lambda: LayerNorm2d(WIDTH)),
    "instance_norm": maps(lambda: nn.InstanceNorm2d(WIDTH, affine=True)),
    "no_affine": dense(lambda: nn.LayerNorm(WIDTH, elementwise_affine=False)),
    "batch_norm_1d": dense(lambda: nn.BatchNorm1d(WIDTH, track_running_stats=False)),
    "batch_norm_2d": maps(lambda: nn.BatchNorm2d(WIDTH, track_running_stats=False)),
    "batch_norm_eval": maps(lambda: nn.BatchNorm2d(WIDTH, track_running_stats=False, affine=False).eval()),
    "batch_norm_act": maps(lambda: BatchNormAct2d(WIDTH, track_running_stats=False)),
    "frozen_batch_norm": maps(FrozenBatchNorm2d),
    "weight_norm": dense(lambda: parametrizations.weight_norm(linear())),
    "layer_norm_of_maps": maps(lambda: nn.LayerNorm((WIDTH, 4, 4))),
    "standardized_convolution": maps(lambda: StandardizedConv2d(WIDTH, WIDTH, 3)),
    "global_response_norm": maps(
        computed(response, gamma=lambda: nn.Parameter(torch.zeros(1, WIDTH, 1, 1))),
    ),
    # parameters of every shape
    "transposed_in_memory": dense(
        computed(lambda own, x: x @ own.w, w=lambda: nn.Parameter(torch.randn(WIDTH, WIDTH).T)),
    ),
    "prelu": dense(nn.PReLU),
    "rezero": dense(computed(lambda own, x: x + own.g * torch.tanh(x), g=number(0.0))),
    "number_of_1": dense(computed(scaled, g=number(1.0))),
    "temperature": dense(computed(lambda own, x: x * own.g.exp(), g=number(math.log(1 / 0.07)))),
    "one_element": dense(computed(scaled, g=lambda: nn.Parameter(torch.randn(1, 1)))),
    "empty": dense(computed(lambda own, x: x + own.g.sum(), g=lambda: nn.Parameter(torch.empty(0, 3)))),
    "unused": dense(computed(lambda _, x: x, g=lambda: nn.Parameter(torch.randn(3)))),
    "unused_number": dense(computed(lambda _, x: x, g=number(1.0))),
    "layer_scale": dense(computed(lambda own, x: x + own.g * x.sin(), g=vector(1e-6))),
    "squared_scale": dense(computed(lambda own, x: own.g.square() * x, g=vector(1.0))),
    "bias_of_1": dense(computed(lambda own, x: x + own.bias, bias=vector(1.0))),
    "class_token": rows(
        computed(
            lambda own, x: torch.cat([own.token.expand(len(x), 1, WIDTH), x], 1),
            token=lambda: nn.Parameter(torch.zeros(1, 1, WIDTH)),
        )
    ),
    "parameter_list": dense(
        computed(
            lambda own, x: x * own.ps[0] + own.ps[1],
            ps=lambda: nn.ParameterList([torch.ones(WIDTH), torch.zeros(WIDTH)]),
        )
    ),
    "parameter_dict": dense(
        computed(lambda own, x: x * own.ps["a"], ps=lambda: nn.ParameterDict({"a": torch.full((WIDTH,), 0.5)}))
    ),
    # sharing
    "two_names": dense(lambda: Twice(linear())),
    "two_names_deep": dense(lambda: Twice(Twice(linear()))),
    "albert": rows(lambda: repeated(3)),
    "shared_norm": dense(lambda: Twice(nn.LayerNorm(WIDTH))),
    "shared_batch_norm": dense(lambda: Twice(BatchNorm(WIDTH))),
    "shared_batch_norm_1": dense(lambda: Twice(BatchNorm(WIDTH, "zero+1"))),
    "tied_weights": dense(lambda: Tied(linear)),
    "tied_scales": dense(lambda: Tied(lambda: nn.LayerNorm(WIDTH), "weight", "bias")),
    "tied_batch_norm": dense(lambda: Tied(lambda: BatchNorm(WIDTH), "scale")),
    "tied_numbers": dense(lambda: Tied(computed(scaled, g=number(1.0)), "g")),
    # attention and recurrence
    "encoder_eval": rows(lambda: encoder_layer().eval()),
    "encoder_first_eval": rows(lambda: encoder_layer(norm_first=True).eval()),
    "encoder_stack_eval": rows(lambda: nn.TransformerEncoder(encoder_layer(), 2).eval()),
    "encoder": rows(lambda: encoder_layer(dropout=0.0)),
    "attention": rows(Attention),
    "attention_eval": rows(lambda: Attention(need_weights=False).eval()),
    "attention_function": rows(lambda: Attention(own=True)),
    "attention_causal": rows(lambda: Attention(own=True, is_causal=True)),
    "vision_transformer": vision_transformer,
    "gru_cell": rows(lambda: Recurrent(nn.GRUCell(WIDTH, WIDTH))),
    "mixer": rows(Mixer),
    "calls_itself": dense(CallsItself),
    "rope": rows(computed(turn)),
    "causal": rows(computed(look_back)),
    "relative_biases": rows(Biased),
    # constants
    "mask": dense(computed(lambda own, x: x * own.mask, mask=lambda: torch.tensor([True, False, True, True]))),
    "positions": rows(
        lambda: non_persistent(Computed(lambda own, x: x + own.p, p=torch.linspace(0, 1, 8)[:, None])),
    ),
    "expanded": dense(computed(lambda own, x: x @ own.w, w=lambda: torch.tensor(0.3).expand(WIDTH, WIDTH))),
    "of_this_module": dense(computed(lambda own, x: x + own.t, t=lambda: TABLE)),
    "complex": rows(computed(complex_turn, turns=lambda: torch.polar(torch.ones(8, 2), torch.rand(1) * 0 + 0.1))),
    "fixed_features": dense(
        computed(
            lambda own, x: (x @ own.w).cos(),
            w=lambda: torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(7)),
        )
    ),
    "matrix_exponential": dense(
        computed(lambda own, x: x @ own.w.matrix_exp(), w=lambda: nn.Parameter(torch.randn(WIDTH, WIDTH) / 3)),
    ),
    # the rest
    "hooked": dense(Hooked),
    "traced": traced,
    "shared_activation": dense(SharedActivation),
    "one_hot": dense(computed(lambda _, x: x + F.one_hot(x.argmax(-1), WIDTH))),
    "dropout_eval": dense(lambda: nn.Dropout(0.5).eval()),
    "drop_path_eval": dense(lambda: DropPath().eval()),
    "remembering": dense(Remembering),
    "settings": dense(computed(lambda own, x: F.leaky_relu(x, own.settings.slope), settings=Settings)),
    "inplace_relu": maps(lambda: nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 1), nn.ReLU(inplace=True))),
    "excited": maps(Excited),
    "depthwise": maps(lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH)),
    "transposed": maps(lambda: nn.ConvTranspose2d(WIDTH, WIDTH, 2, stride=2)),
    "pooled": maps(lambda: nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2))),
    "constant_in_forward": dense(computed(lambda _, x: x + torch.tensor([0.5, 1.0, 0.0, 2.0]))),
}


def __getattr__(name: str) -> Factory:  # no function of this module may be called as an arm is
    try:
        return TAKEN[name]
    except KeyError:
        raise AttributeError(name) from None
