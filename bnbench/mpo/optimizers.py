"""The rules by which a plane's numbers follow their gradient: a new one is a line of the table here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer

from bnbench.errors import RequestError

# The settings are torch's own but for SGD's momentum, without which a plane hardly leaves its start.
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": partial(torch.optim.Adam, fused=True),
    "sgd": partial(torch.optim.SGD, momentum=0.9, fused=True),
}


def build_optimizer(name: str, groups: Sequence[dict[str, Any]], learning_rate: float) -> Optimizer:
    """Make the optimizer of a fit.

    Args:
        name: ``adam``, by Kingma & Ba (arXiv 1412.6980) with β = (0.9, 0.999) and ε = 1e-8; or ``sgd``, with velocity
            v ← 0.9 v + g and w ← w − rate · v.
        groups: parameter groups, as torch's optimizers take them; a fit sets the rate of each at every step.
        learning_rate: rate of the groups that name none.

    Raises:
        ValueError: no rule has this name.
    """
    if name not in OPTIMIZERS:
        raise RequestError(f"optimizer={name!r} is unknown; use {' or '.join(OPTIMIZERS)}.")
    return OPTIMIZERS[name](groups, lr=learning_rate)


def end_recording(optimizer: Optimizer) -> None:
    """Let an optimizer compute as one that nothing records: torch warns of ``capturable`` where nothing is captured."""
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = False


def plain_state(optimizer: Optimizer) -> dict[str, Any]:
    """Return an optimizer's state as any device takes it: rates are numbers, and no recording is spoken of."""
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        group["lr"] = float(group["lr"])
        if "capturable" in group:
            group["capturable"] = False
    return state
