"""Bits turned over at random in every kind of file that holds numbers: each is named, or changes no number.

``nox -s torture`` turns a thousand of them over. What holds no numbers has no digest: ``config.toml``,
``execution.json`` and the records of failures.
"""

from __future__ import annotations

import shutil
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
from bnbench.results.digests import digest_of, sum_of
from bnbench.results.evaluations import COLUMNS, read_kind
from bnbench.results.fits import content_of, read_fit
from bnbench.results.folder_protocol import open_folder, read_protocol
from bnbench.results.smoothness import COLUMNS as COLUMNS_OF_SMOOTHNESS
from bnbench.results.smoothness import MeasuredNetwork, find_smoothness
from bnbench.results.smoothness_settings import SmoothnessSettings
from bnbench.results.store import StoreError
from bnbench.results.tables import write_table
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.runner import Runner
from tests.fits import TINY

KEY = FitKey("plain", 0.5, 1)
COMMITTED = Path(__file__).parents[2] / "results" / "compact"
OLDER = "fits/plain_p0.500_seed1.parquet"


@dataclass(frozen=True)
class Kind:
    """A kind of file: where a folder of all kinds has one, and all the numbers that a reader takes from it, as text."""

    path: Callable[[Path], Path]
    numbers: Callable[[Path], str]


def numbers_of_fit(path: Path) -> str:
    result = read_fit(path)
    course = digest_of(None, [(str(name), values.to_numpy()) for name, values in result.course.items()])
    return f"{content_of(result)} {course} {result.summary.to_json()} {sorted(result.provenance.items())}"


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


def numbers_of_smoothness(path: Path) -> str:
    found, broken = find_smoothness([path.parent.parent], TINY.id)
    if broken:
        raise StoreError(broken[0])
    return digest_of(None, [(str(name), values.to_numpy()) for name, values in found.items()])


def older_fit(folder: Path) -> Path:
    """A fit without a digest of its own, beside a list that has one of it."""
    return folder / "older" / OLDER


def evaluation(folder: Path) -> Path:
    return layout.evaluation_path(layout.evaluations_folder(folder), TINY, KEY, "none")


KINDS = {
    "fit": Kind(lambda folder: layout.fit_path(folder, KEY), numbers_of_fit),
    "plane": Kind(lambda folder: layout.plane_path(folder, KEY), numbers_of_plane),
    "evaluation": Kind(evaluation, numbers_of_table),
    "checkpoint": Kind(lambda folder: layout.checkpoint_path(folder, KEY), numbers_of_checkpoint),
    "smoothness": Kind(lambda folder: layout.smoothness_path(folder, KEY), numbers_of_smoothness),
    "older fit": Kind(older_fit, numbers_of_fit),
    "list of digests": Kind(
        lambda folder: folder / "older" / "SHA256SUMS", lambda path: numbers_of_fit(path.parent / OLDER)
    ),
    "protocol": Kind(lambda folder: folder / "protocol.json", lambda path: read_protocol(path.parent).hash),
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
    network = MeasuredNetwork(TINY, SmoothnessSettings(), KEY)
    measured = {name: [0.25, 0.5] for name in COLUMNS_OF_SMOOTHNESS[4:]}
    network.write(folder, pd.DataFrame(measured).assign(step=[0, 600]), {})
    for name in ("protocol.json", OLDER):
        (folder / "older" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(COMMITTED / name, folder / "older" / name)
    content = older_fit(folder).read_bytes()
    (folder / "older" / "SHA256SUMS").write_text(f"{sum_of(content)}  {OLDER}\n")
    return folder


def read(kind: Kind, path: Path) -> tuple[str, str]:
    """The numbers that a reader takes from a file, or the sentence with which it refuses it."""
    try:
        return kind.numbers(path), ""
    except StoreError as error:
        return "", str(error)


def flip_and_read(sweep: Path, tmp_path: Path, kind: Kind, count: int, seed: int) -> int:
    """Return how many of so many flips were named; each of the others has changed no number."""
    path = kind.path(shutil.copytree(sweep, tmp_path / "flipped"))
    content = path.read_bytes()
    before, named = kind.numbers(path), 0
    for place in np.random.default_rng(seed).integers(8 * len(content), size=count):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        found, said = read(kind, path)
        assert found == before or path.name in said, f"bit {place} changed a number, or its file is not named: {said}"
        named += bool(said)
    return named


@pytest.mark.parametrize("name", KINDS)
def test_a_few_flipped_bits_are_named_or_harmless(name: str, sweep: Path, tmp_path: Path) -> None:
    assert flip_and_read(sweep, tmp_path, KINDS[name], 5, seed=1) > 0


@pytest.mark.nightly
@pytest.mark.parametrize("name", KINDS)
def test_a_thousand_flipped_bits_are_named_or_harmless(name: str, sweep: Path, tmp_path: Path) -> None:
    assert flip_and_read(sweep, tmp_path, KINDS[name], 1000 // len(KINDS), seed=2) > 10
