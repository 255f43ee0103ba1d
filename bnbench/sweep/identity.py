"""What a fit's numbers depend on, as one hash: the name by which plans, checkpoints and planes know it again."""

from __future__ import annotations

from bnbench.arms.loading import arm_source
from bnbench.protocol.identity import identity_of
from bnbench.protocol.protocol import FitKey, Protocol


def fit_identity(key: FitKey, protocol: Protocol) -> str:
    """Return the hash of all that a fit's numbers depend on: protocol, arm and its source, p and seed."""
    return identity_of(key, protocol, arm_source(key.arm))
