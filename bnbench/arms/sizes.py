"""How large a user's own arm is beside plain, which a comparison of the two has to know."""

from __future__ import annotations

from collections.abc import Iterable

from bnbench.arms.loading import foreign_code
from bnbench.arms.own_arm import load_arm
from bnbench.protocol.arm_names import short_names
from bnbench.protocol.protocol import is_own_arm
from bnbench.protocol.sections import NetworkProtocol
from bnbench.wording import counted


def size_lines(
    arms: Iterable[str], image_shape: tuple[int, int, int], classes: int, network: NetworkProtocol
) -> list[str]:
    """Say of each of a user's own arms how many parameters it has, and how many plain has.

    Args:
        arms: of any kind; nothing is said of those that are built in.
        image_shape: channels, rows and columns of an image.
        classes: number of classes.
        network: what the built-in arms have in common.

    Raises:
        ArmError: an arm cannot be used.
    """

    def parameters(arm: str) -> int:
        factory = load_arm(arm, image_shape, classes, network)
        with foreign_code(arm):
            return sum(parameter.numel() for parameter in factory().parameters())

    lines = []
    for arm, name in short_names(arms).items():
        if is_own_arm(arm):
            called = f"{arm}, called {name} from here on," if name != arm else arm
            sizes = f"{counted(parameters(arm), 'parameter')}, plain has {parameters('plain'):,}"
            lines.append(f"{called} has {sizes}")
    return lines
