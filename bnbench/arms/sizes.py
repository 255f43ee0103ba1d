"""What of a user's own arm is as in plain, and what is not, which a comparison of the two has to know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields

import torch
from torch import Tensor, nn

from bnbench.arms.loading import foreign_code
from bnbench.arms.own_arm import load_arm
from bnbench.mpo.plane import fresh_network
from bnbench.protocol.arm_names import short_names
from bnbench.protocol.profiles import changes
from bnbench.protocol.protocol import Protocol, is_own_arm
from bnbench.protocol.sections import NetworkProtocol
from bnbench.wording import counted

_CLOSE = 0.05  # relative; sizes of weights of one distribution differ by less


def own_arm_lines(
    arms: Iterable[str], image_shape: tuple[int, int, int], classes: int, protocol: Protocol
) -> list[str]:
    """Say of each of a user's own arms how large it is beside plain, how much of it starts as plain does, and more.

    Args:
        arms: of any kind; nothing is said of those that are built in.
        image_shape: channels, rows and columns of an image.
        classes: number of classes.
        protocol: its network is that of the built-in arms; where knobs of it are changed, own arms miss that.

    Raises:
        ArmError: an arm cannot be used.
    """
    own = {arm: name for arm, name in short_names(arms).items() if is_own_arm(arm)}
    if not own:
        return []
    plain = _fresh("plain", image_shape, classes, protocol)
    lines = []
    for arm, name in own.items():
        network = _fresh(arm, image_shape, classes, protocol)
        called = f"{arm}, called {name} from here on," if name != arm else arm
        sizes = f"{counted(_parameters(network), 'parameter')}, plain has {_parameters(plain):,}"
        lines.append(f"{called} has {sizes}; {_start_words(network, plain)}")
    changed = changes(protocol)
    knobs = [
        f"--{one.name.replace('_', '-')} {changed[one.name]}" for one in fields(NetworkProtocol) if one.name in changed
    ]
    if knobs:
        names = ", ".join(own.values())
        lines.append(f"{', '.join(knobs)}: of the built-in arms alone; the network of {names} is what its file says")
    return lines


def shared_layers(network: nn.Module, plain: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Return the weights of the layers that two networks share: of the same shape, in the same order.

    Where layers can be matched in several ways, it is one with as many of equal weights as there can be.
    """
    ours, theirs = (_weights(module) for module in (network, plain))
    best: list[list[tuple[int, int, list[tuple[Tensor, Tensor]]]]] = [[(0, 0, [])] * (len(theirs) + 1)]
    for own in ours:
        above, row = best[-1], [best[-1][0]]
        for place, other in enumerate(theirs):
            found = max(above[place + 1], row[-1], key=lambda one: one[:2])
            if own.shape == other.shape:
                shared, equal, pairs = above[place]
                matched = (shared + 1, equal + torch.equal(own, other), [*pairs, (own, other)])
                found = max(matched, found, key=lambda one: one[:2])
            row.append(found)
        best.append(row)
    return best[-1][-1][2]


def _start_words(network: nn.Module, plain: nn.Module) -> str:
    """Say how many of the layers that a network shares with plain start as plain's, and how large those are."""
    pairs = shared_layers(network, plain)
    if not pairs:
        return "no layer has the shape of one of plain's"
    equal = sum(torch.equal(own, other) for own, other in pairs)
    said = f"{equal} of the {counted(len(pairs), 'layer')} that both have start as plain's"
    size, other_size = (_size([pair[side] for pair in pairs]) for side in (0, 1))
    if abs(size / other_size - 1) > _CLOSE:
        said += f", and their weights are {size / other_size:.2g} times as large"
    return said


def _size(weights: Sequence[Tensor]) -> float:
    return float(torch.cat([weight.flatten() for weight in weights]).norm())


def _weights(network: nn.Module) -> list[Tensor]:
    """Return the parameters that connect layers, in their order: matrices and kernels, and no bias or scale."""
    return [own.detach() for own in network.parameters() if own.dim() > 1]


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _fresh(arm: str, image_shape: tuple[int, int, int], classes: int, protocol: Protocol) -> nn.Module:
    factory = load_arm(arm, image_shape, classes, protocol.network)
    with foreign_code(arm):
        return fresh_network(factory, 1)
