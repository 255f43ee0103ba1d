"""A fit's result, made up, for tests of what is stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bnbench.profiles import PROFILES
from bnbench.protocol import FitKey
from bnbench.store import FitResult

SMOKE = PROFILES["smoke"]
# A fit of well under a second.
TINY = SMOKE.with_knobs(
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
IDENTITY = "a1b2"


def make_result(key: FitKey = KEY, **changes: Any) -> FitResult:
    """A fit's result with numbers that no rounding leaves alone."""
    random = np.random.default_rng(key.seed)
    rows, columns = np.indices((3, 4)).reshape(2, -1)
    landscape = pd.DataFrame(
        {
            "arm": key.arm,
            "p": key.p,
            "seed": np.int32(key.seed),
            "row": rows.astype(np.int16),
            "column": columns.astype(np.int16),
            "black": random.random(12) < key.p,
            "trained": random.random(12) < 0.8,
            **{
                f"{images}_{measure}": random.random(12, dtype=np.float32)
                for images in ("test", "train")
                for measure in ("loss", "accuracy")
            },
        }
    )
    summary = pd.DataFrame(
        {
            "policy": ["batch:512", "recalibrate:512"],
            "headline": [True, False],
            "split": "test",
            "pixels": "all",
            **{name: random.random(2) for name in ("black", "white", "difference", "black_loss", "white_loss")},
        }
    )
    trace = pd.DataFrame(
        {"step": [0, 50, 100], "black_loss": random.random(3), "gradient_norm": [1e-300, np.pi, np.nan]}
    )
    provenance = {"device": "cpu", "threads": 1, "seconds": 0.1 + 0.2, "versions": {"torch": "2.14.1"}}
    parts: dict[str, Any] = {"landscape": landscape, "summary": summary, "trace": trace, "provenance": provenance}
    return FitResult(**{"key": key, "identity": IDENTITY, "protocol": SMOKE, **parts, **changes})
