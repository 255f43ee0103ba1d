"""Sweeps made up for tests of the report: no network is trained, the shapes are the real ones."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from bnbench.inputs.masks import is_trained, mask_of
from bnbench.protocol.identity import identity_of
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.results.folder_protocol import open_folder
from bnbench.results.layout import failure_path, fit_path, write_atomically
from bnbench.results.schemas import pixel_columns
from bnbench.results.store import FitResult, write_fit

SMALL = PROFILES["quick"].with_knobs(mask_size=(6, 6), steps=300)
# (black accuracy, white accuracy, blur in pixels) that a made-up arm settles at.
LEVELS = {"plain": (0.79, 0.33, 0.45), "bn": (0.83, 0.43, 0.6), "skip": (0.80, 0.30, 0.4)}
FRESH = (0.75, 0.40, 0.55)
CLAMPED = 0.6  # share of white pixels past the threshold in the end


def write_sweep(
    folder: Path,
    *,
    arms: Iterable[str] = ("plain", "bn"),
    probs: Iterable[float] = (0.3, 0.5),
    seeds: Iterable[int] = (1, 2),
    protocol: Protocol = SMALL,
    skip: Iterable[tuple[str, float, int]] = (),
    provenance: dict[str, Any] | None = None,
) -> Protocol:
    """Write one fit for each (arm, p, seed) except those in ``skip``; the same call writes the same numbers."""
    open_folder(folder, protocol)
    left_out = set(skip)
    keys = [FitKey(arm, p, seed) for seed in seeds for p in probs for arm in arms]
    for key in keys:
        if (key.arm, key.p, key.seed) not in left_out:
            _write(folder, key, protocol, provenance or {})
    return protocol


_files: dict[tuple[object, ...], bytes] = {}  # of every fit that was made up before, since many tests ask for the same


def _write(folder: Path, key: FitKey, protocol: Protocol, provenance: dict[str, Any]) -> None:
    asked = (key, protocol, json.dumps(provenance), CLAMPED)
    if asked in _files:
        fit_path(folder, key).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(fit_path(folder, key), _files[asked])
        failure_path(folder, key).unlink(missing_ok=True)
    else:
        _files[asked] = write_fit(folder, made_up_fit(key, protocol, provenance)).read_bytes()


def made_up_fit(key: FitKey, protocol: Protocol, provenance: dict[str, Any]) -> FitResult:
    """A fit whose landscape is the blurred mask with noise."""
    generator = np.random.default_rng([key.permille, key.seed, *key.arm.encode()])
    landscape = _landscape(key, protocol, generator)
    return FitResult(
        key=key,
        identity=identity_of(key, protocol),
        protocol=protocol,
        landscape=landscape,
        summary=_summary(key, landscape, protocol),
        trace=_trace(key, protocol, generator),
        provenance={
            "bnbench": "0.1.0",
            "python": "3.12.1",
            "torch": "2.14.1",
            "numpy": "2.4.6",
            "git_revision": "0123abc",
            "git_dirty": False,
            "device": "cpu",
            "device_name": "a processor",
            "threads": 1,
            "chunk": 32,
            "started": f"2026-01-0{1 + key.seed % 9}T10:00:00+00:00",
            "wall_seconds": float(40 + 10 * (key.arm == "bn") + generator.normal()),
            **provenance,
        },
    )


def _landscape(key: FitKey, protocol: Protocol, generator: np.random.Generator) -> pd.DataFrame:
    mask = mask_of(key.p, key.seed, protocol.mask)
    black, white, blur = LEVELS.get(key.arm, FRESH)
    low, high = np.quantile(soft := gaussian_filter(mask.astype(float), blur), [0.02, 0.98])
    share = np.clip((soft - low) / (high - low), 0, 1)
    white += 0.06 * (key.p - 0.5) + generator.normal(0, 0.012)
    accuracy = np.clip(white + (black - white) * share + generator.normal(0, 0.02, mask.shape), 0.02, 0.98)
    loss = np.exp(np.log(3.4) * (1 - share) + np.log(0.55) * share + generator.normal(0, 0.12, mask.shape))
    return pd.DataFrame(
        {
            "arm": key.arm,
            "p": key.p,
            "seed": np.int32(key.seed),
            **pixel_columns(mask, is_trained(mask)),
            "test_loss": loss.ravel().astype(np.float32),
            "test_accuracy": accuracy.ravel().astype(np.float32),
            "train_loss": (0.97 * loss).ravel().astype(np.float32),
            "train_accuracy": np.clip(accuracy + 0.01, 0, 1).ravel().astype(np.float32),
        }
    )


def _summary(key: FitKey, landscape: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    policies = {"batch:512": 0.0, "batch:16": 0.02, "recalibrate:512": -0.01} if key.arm == "bn" else {"none": 0.0}
    rows = []
    for number, (policy, shift) in enumerate(policies.items()):
        for split, prefix in ((protocol.measurement.split, "test"), ("train", "train")):
            for pixels in ("all", "trained"):
                chosen = landscape if pixels == "all" else landscape[landscape["trained"]]
                means = chosen.groupby("black")[[f"{prefix}_accuracy", f"{prefix}_loss"]].mean().reindex([True, False])
                black, white = (float(value) for value in means[f"{prefix}_accuracy"])
                losses = [float(value) for value in means[f"{prefix}_loss"]]
                rows.append(
                    {
                        "policy": policy,
                        "headline": number == 0,
                        "split": split,
                        "pixels": pixels,
                        "black": black + shift,
                        "white": white,
                        "difference": black + shift - white,
                        "black_loss": losses[0],
                        "white_loss": losses[1],
                    }
                )
    return pd.DataFrame(rows)


def _trace(key: FitKey, protocol: Protocol, generator: np.random.Generator) -> pd.DataFrame:
    steps = np.arange(0, protocol.training.steps, max(1, protocol.training.steps // 200))
    black, white, _ = LEVELS.get(key.arm, FRESH)
    rise = 1 - np.exp(-steps / (0.12 * protocol.training.steps * (1.4 if key.arm == "plain" else 1.0)))
    peak = 0.25 * np.exp(-(((steps / protocol.training.steps - 0.15) / 0.1) ** 2))
    noise = generator.normal(0, 0.02, (2, len(steps)))
    black_accuracy, white_accuracy = 0.1 + (black - 0.1) * rise + noise[0], 0.1 + (white - 0.1) * rise + peak + noise[1]
    return pd.DataFrame(
        {
            "step": steps,
            "black_loss": 2.3 - 1.6 * rise,
            "white_loss": 2.3 + 0.6 * rise,
            "black_accuracy": black_accuracy,
            "white_accuracy": white_accuracy,
            "clamped": CLAMPED * rise,
            "scale": 0.1 + 0.05 * rise,
            "gradient_norm": 1.0 + noise[0],
            "learning_rate": protocol.training.learning_rate
            * (1 + np.cos(np.pi * steps / protocol.training.steps))
            / 2,
        }
    )
