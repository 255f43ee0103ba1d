"""A fit's result, made up, for tests of what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from bnbench.bn_policy import NO_BN
from bnbench.inputs.masks import draw_mask, is_trained
from bnbench.mpo.landscape import Landscape
from bnbench.protocol.identity import identity_of
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.results.schemas import pixel_columns
from bnbench.results.store import FitResult
from bnbench.sweep.measure import summary_rows
from bnbench.sweep.status import SweepStatus, read_statuses

SMOKE = PROFILES["smoke"]
# A fit of a tenth of a second.
TINY = SMOKE.with_knobs(
    widths=(2,),
    strides=(2,),
    mask_size=(4, 4),
    steps=6,
    black_pixels=3,
    white_pixels=3,
    images=4,
    test_images=60,
    train_images=60,
    bn_statistics="batch:60",
)
KEY = FitKey("plain", 0.3, 1)
IDENTITY = identity_of(KEY, SMOKE)


def make_result(key: FitKey = KEY, **changes: Any) -> FitResult:
    """A fit's result with numbers that no rounding leaves alone; whole, whatever protocol and source it is given."""
    protocol, source = changes.get("protocol", SMOKE), changes.get("source", "")
    random = np.random.default_rng(key.seed)
    mask = draw_mask(key.p, key.seed, protocol.mask.mask_size, protocol.mask.mask_kind)
    landscape = pd.DataFrame(
        {
            "arm": key.arm,
            "p": key.p,
            "seed": np.int32(key.seed),
            **pixel_columns(mask, is_trained(mask)),
            **{
                f"{images}_{measure}": random.random(mask.size, dtype=np.float32)
                for images in ("test", "train")
                for measure in ("loss", "accuracy")
            },
        }
    )
    trace = pd.DataFrame({"step": [0, 3, 6], "black_loss": random.random(3), "gradient_norm": [1e-300, np.pi, np.nan]})
    provenance = {
        "device": "cpu",
        "device_name": "a processor",
        "threads": 1,
        "wall_seconds": 0.1 + 0.2,
        "versions": {"torch": "2.14.1"},
    }
    parts: dict[str, Any] = {
        "identity": identity_of(key, protocol, source),
        "protocol": protocol,
        "landscape": landscape,
        "summary": summary_of(landscape, protocol, key.arm),
        "trace": trace,
        "provenance": provenance,
    }
    return FitResult(**{"key": key, **parts, **changes})


def summary_of(landscape: pd.DataFrame, protocol: Protocol, arm: str) -> pd.DataFrame:
    """The rows of a fit's headline, from its table."""
    shape, split = protocol.mask.mask_size, protocol.measurement.split
    mask, trained = (landscape[name].to_numpy().reshape(shape) for name in ("black", "trained"))
    rows: list[dict[str, object]] = []
    for images, columns in ((split, "test"), ("train", "train")):
        loss, accuracy = (
            torch.from_numpy(landscape[f"{columns}_{measure}"].to_numpy(float)).view(shape)
            for measure in ("loss", "accuracy")
        )
        policy = protocol.measurement.bn_policy if arm == "bn" else NO_BN
        rows += summary_rows(
            Landscape(loss, accuracy), mask, trained, policy=policy, split=images, threshold=protocol.training.threshold
        )
    return pd.DataFrame(rows)


def status_of(folder: Path) -> SweepStatus:
    """How the one sweep below a folder stands, as ``bnbench status`` finds out."""
    (status,), broken = read_statuses(folder, {})
    assert broken == []
    return status
