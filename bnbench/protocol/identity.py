"""The identity of a fit: one hash over all that its numbers depend on."""

from __future__ import annotations

import hashlib
import json

from bnbench.protocol.protocol import FitKey, Protocol


def identity_of(key: FitKey, protocol: Protocol, source: str = "") -> str:
    """Return the hash of all that a fit's numbers depend on: protocol, arm and the hash of its source, p and seed."""
    text = json.dumps([protocol.hash, key.arm, source, key.permille, key.seed])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
