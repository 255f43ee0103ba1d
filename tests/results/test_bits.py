"""Bits turned over at random in every kind of file that a sweep leaves: each is named, or changes no number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import bnbench
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import layout
from bnbench.results.checkpoints import Checkpoint, read_checkpoint, save_checkpoint
from bnbench.results.digests import digest_of
from bnbench.results.evaluations import COLUMNS, read_kind
from bnbench.results.fits import content_of, read_fit
from bnbench.results.folder_protocol import open_folder
from bnbench.results.store import StoreError
from bnbench.results.tables import write_table
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.runner import Runner
from tests.fits import TINY

KEY = FitKey("plain", 0.5, 1)


@dataclass(frozen=True)
class Kind:
    """A kind of file: where the sweep has one, and all the numbers that a reader takes from it, as text."""

    path: Callable[[Path], Path]
    numbers: Callable[[Path], str]


def numbers_of_plane(path: Path) -> str:
    plane = bnbench.load_plane(path)
    arrays = [("vectors", plane.vectors.detach().numpy()), ("scale", plane.scale.detach().numpy())]
    return digest_of(None, arrays)


def numbers_of_table(path: Path) -> str:
    table = read_kind(path, "summaries")
    return digest_of(None, [(str(name), values.to_numpy()) for name, values in table.items()])


def numbers_of_checkpoint(path: Path) -> str:
    checkpoint, _ = read_checkpoint(path)
    assert checkpoint is not None
    return repr((checkpoint.state["step"], checkpoint.state["vectors"].tolist(), checkpoint.seconds))


def evaluation(folder: Path) -> Path:
    return layout.evaluation_path(layout.evaluations_folder(folder), TINY, KEY, "none")


KINDS = {
    "fit": Kind(lambda folder: layout.fit_path(folder, KEY), lambda path: content_of(read_fit(path))),
    "plane": Kind(lambda folder: layout.plane_path(folder, KEY), numbers_of_plane),
    "evaluation": Kind(evaluation, numbers_of_table),
    "checkpoint": Kind(lambda folder: layout.checkpoint_path(folder, KEY), numbers_of_checkpoint),
}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    open_folder(folder, TINY)
    execution = Execution(make_slots(("cpu",), 1, 1), chunk=4, keep_planes=True)
    list(Runner(plan_sweep(folder, TINY, Grid((KEY.arm,), (KEY.p,), (KEY.seed,))), execution, Inline()).outcomes())
    state: dict[str, Any] = {"step": 3, "vectors": torch.rand(50)}
    save_checkpoint(folder, KEY, Checkpoint("identity", state, 1.5, 1, {}))
    named = {name: [f"a {name}"] * 2 for name in ("protocol", "arm", "identity", "plane", "split", "policy", "device")}
    numbers = {name: [0.25, 0.5] for name in ("black", "white", "difference", "black_loss", "white_loss")}
    table = {"p": 0.5, "seed": 1, "images": 60, "headline": True, "pixels": ["all", "trained"], "threads": 1}
    evaluation(folder).parent.mkdir(parents=True)
    evaluation(folder).write_bytes(write_table(pd.DataFrame({**named, **numbers, **table})[[*COLUMNS]]))
    return folder


def flip_and_read(sweep: Path, tmp_path: Path, kind: Kind, count: int, seed: int) -> int:
    """Return how many of so many flips were named; each of the others has changed no number."""
    path = tmp_path / kind.path(sweep).name
    content = kind.path(sweep).read_bytes()
    path.write_bytes(content)
    before, named = kind.numbers(path), 0
    for place in np.random.default_rng(seed).integers(8 * len(content), size=count):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            found = kind.numbers(path)
        except StoreError as error:
            named += path.name in str(error)
            continue
        assert found == before, f"bit {place} changed a number"
    return named


@pytest.mark.parametrize("name", KINDS)
def test_a_few_flipped_bits_are_named_or_harmless(name: str, sweep: Path, tmp_path: Path) -> None:
    assert flip_and_read(sweep, tmp_path, KINDS[name], 5, seed=1) > 0


@pytest.mark.nightly
@pytest.mark.parametrize("name", KINDS)
def test_a_thousand_flipped_bits_are_named_or_harmless(name: str, sweep: Path, tmp_path: Path) -> None:
    assert flip_and_read(sweep, tmp_path, KINDS[name], 250, seed=2) > 50
