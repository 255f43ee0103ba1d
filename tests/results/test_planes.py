"""Planes on disk: what was fitted comes back bit for bit, and no file runs code or passes for another."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import bnbench
from bnbench.errors import RequestError
from bnbench.inputs.data import load_data
from bnbench.protocol.protocol import Grid
from bnbench.results import layout, store
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import open_folder
from bnbench.results.planes import read_plane_details, save_plane
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution
from bnbench.sweep.identity import fit_identity
from bnbench.sweep.plan import plan_sweep, set_aside
from bnbench.sweep.runner import Runner
from tests.cases import FOREIGN
from tests.fits import TINY

GRID = Grid(("plain", "bn", FOREIGN), (0.5,), (1,))
KEYS = {key.arm: key for key in GRID.fits()}
KEEPING = Execution(make_slots(("cpu",), 1, 1), keep_planes=True)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planes")
    open_folder(folder, TINY)
    outcomes = list(Runner(plan_sweep(folder, TINY, GRID), KEEPING, Inline()).outcomes())
    assert [outcome.state for outcome in outcomes] == ["done"] * 3
    return folder


def parts(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dictionary
        return tensors, json.loads(file.metadata()["bnbench"])


def changed(path: Path, target: Path, tensors: dict[str, torch.Tensor], **details: object) -> Path:
    """A copy of a plane's file, as it was before there were digests, with some tensors and details replaced."""
    there, said = parts(path)
    del said["digest"]
    save_file({**there, **tensors}, target, {"bnbench": json.dumps({**said, "format": 1, **details})})
    return target


@pytest.mark.parametrize("arm", KEYS)
def test_a_file_tells_what_it_is_and_where_each_layer_lies(swept: Path, arm: str) -> None:
    details = read_plane_details(layout.plane_path(swept, KEYS[arm]))
    assert (details.key, details.protocol, details.identity) == (KEYS[arm], TINY, fit_identity(KEYS[arm], TINY))
    assert (details.image_shape, details.classes) == ((1, 8, 8), 10)
    assert [layer.start for layer in details.layers[1:]] == [layer.stop for layer in details.layers[:-1]]
    assert all(layer.shape.numel() == layer.stop - layer.start for layer in details.layers)
    _, said = parts(layout.plane_path(swept, KEYS[arm]))
    assert (said["format"], said["revision"], said["initial_scale"]) == (2, TINY.revision, 0.1)
    assert said["scale"] != 0.1, "the trained scale"


@pytest.mark.parametrize("arm", KEYS)
def test_a_plane_read_back_has_the_landscape_that_its_fit_has(swept: Path, arm: str) -> None:
    plane = bnbench.load_plane(layout.plane_path(swept, KEYS[arm]), arm=arm)
    data = load_data(TINY.data, TINY.measurement)
    found = bnbench.measure_landscape(plane, (4, 4), data.measured)
    stored = read_fit(layout.fit_path(swept, KEYS[arm])).landscape
    assert torch.equal(found.loss.float().flatten(), torch.tensor(stored["test_loss"].to_numpy()))
    assert torch.equal(found.accuracy.float().flatten(), torch.tensor(stored["test_accuracy"].to_numpy()))


def test_a_plane_of_directions_from_the_origin_is_read_back_as_one(tmp_path: Path) -> None:
    protocol = TINY.with_knobs(directions="from-origin")
    open_folder(tmp_path, protocol)
    list(Runner(plan_sweep(tmp_path, protocol, Grid(("plain",), (0.5,), (1,))), KEEPING, Inline()).outcomes())
    plane = bnbench.load_plane(layout.plane_path(tmp_path, KEYS["plain"]))
    assert plane.from_origin
    found = bnbench.measure_landscape(plane, (4, 4), load_data(TINY.data, TINY.measurement).measured)
    stored = read_fit(layout.fit_path(tmp_path, KEYS["plain"])).landscape
    assert torch.equal(found.loss.float().flatten(), torch.tensor(stored["test_loss"].to_numpy()))


def test_saving_again_gives_the_same_bytes(swept: Path, tmp_path: Path) -> None:
    path, key = layout.plane_path(swept, KEYS["bn"]), KEYS["bn"]
    data = load_data(TINY.data, TINY.measurement)
    again = save_plane(tmp_path, bnbench.load_plane(path), key, fit_identity(key, TINY), TINY, data)
    assert again.read_bytes() == path.read_bytes()


def test_planes_are_kept_only_when_asked_and_before_the_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_folder(tmp_path, TINY)
    plan = plan_sweep(tmp_path, TINY, Grid(("plain",), (0.5,), (1,)))
    list(Runner(plan, Execution(KEEPING.slots), Inline()).outcomes())
    assert not (tmp_path / "planes").exists()
    assert plan_sweep(tmp_path, TINY, GRID).without_plane == [KEYS["plain"]]

    def refuse(*_: object) -> None:
        raise RuntimeError("the plane cannot be kept")

    monkeypatch.setattr("bnbench.sweep.fit_under_way.save_plane", refuse)
    (outcome,) = Runner(plan_sweep(tmp_path, TINY, Grid(("bn",), (0.5,), (1,))), KEEPING, Inline()).outcomes()
    assert outcome.state == "failed"
    assert not layout.fit_path(tmp_path, KEYS["bn"]).exists()


def test_keeping_planes_changes_no_number(swept: Path, tmp_path: Path) -> None:
    open_folder(tmp_path, TINY)
    plan = plan_sweep(tmp_path, TINY, Grid(("bn",), (0.5,), (1,)))
    list(Runner(plan, Execution(KEEPING.slots), Inline()).outcomes())
    ours, theirs = (read_fit(layout.fit_path(folder, KEYS["bn"])) for folder in (tmp_path, swept))
    assert ours.identity == theirs.identity
    assert ours.landscape.equals(theirs.landscape)
    assert ours.summary.equals(theirs.summary[ours.summary.columns])
    assert {*theirs.summary} - {*ours.summary} == {"ensemble"}


def test_what_force_replaces_keeps_its_plane(tmp_path: Path) -> None:
    for path in (layout.fit_path(tmp_path, KEYS["bn"]), layout.plane_path(tmp_path, KEYS["bn"])):
        path.parent.mkdir()
        path.write_bytes(b"earlier")
    target = set_aside(tmp_path, [KEYS["bn"]])
    assert target is not None
    assert (target / "planes" / "bn_p0.500_seed1.safetensors").read_bytes() == b"earlier"
    assert not layout.plane_path(tmp_path, KEYS["bn"]).exists()


def test_damaged_and_hostile_files_are_refused_by_name(swept: Path, tmp_path: Path) -> None:
    whole = layout.plane_path(swept, KEYS["bn"]).read_bytes()
    bad = {
        "empty": b"",
        "cut off": whole[: len(whole) // 2],
        "half a header": whole[:100],
        "a header of 2^60 bytes": (2**60).to_bytes(8, "little") + whole[8:],
        "a pickle": pickle.dumps(print),
        "longer": whole + b"more",
    }
    for name, content in bad.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(store.StoreError, match=re.escape(f"{name}.safetensors")):
            bnbench.load_plane(path)
    with pytest.raises(store.StoreError, match=r"nowhere\.safetensors .*--keep-planes"):
        bnbench.load_plane(tmp_path / "nowhere.safetensors")


def test_files_that_contradict_themselves_are_refused(swept: Path, tmp_path: Path) -> None:
    path = layout.plane_path(swept, KEYS["bn"])
    vectors = parts(path)[0]["vectors"]
    layers = json.loads(json.dumps(parts(path)[1]["layers"]))
    wide = TINY.with_knobs(widths=(5,)).as_dict()
    cases: dict[str, tuple[dict[str, torch.Tensor], dict[str, object]]] = {
        "layers": ({}, {"layers": [{**layers[0], "name": "other"}, *layers[1:]]}),
        "0 weights": ({}, {"layers": []}),
        f"{vectors.shape[1]:,}": ({"vectors": vectors[:, :-1].contiguous()}, {}),
        "torch.float32": ({"vectors": vectors.double()}, {}),
        "finite": ({"vectors": vectors * torch.inf}, {}),
        "format is 3": ({}, {"format": 3}),
        "arm bn": ({}, {"protocol": wide}),
        "not a protocol": ({}, {"protocol": {}}),
        "version": ({}, {"source": "0123456789ab"}),
        "FitKey": ({}, {"key": {"arm": "bn"}}),
    }
    for reason, (tensors, details) in cases.items():
        with pytest.raises(store.StoreError, match=f"bad.safetensors.*{reason}"):
            bnbench.load_plane(changed(path, tmp_path / "bad.safetensors", tensors, **details))
    save_file({"vectors": vectors}, tmp_path / "bare.safetensors")
    with pytest.raises(store.StoreError, match=r"bare\.safetensors"):
        bnbench.load_plane(tmp_path / "bare.safetensors")


def test_a_file_cannot_choose_what_is_imported(swept: Path, tmp_path: Path) -> None:
    key = {"arm": "antigravity:fly_to", "p": 0.5, "seed": 1}
    path = changed(layout.plane_path(swept, KEYS[FOREIGN]), tmp_path / "own.safetensors", {}, key=key)
    for arm in (None, FOREIGN):
        with pytest.raises(RequestError, match=r"arm='antigravity"):
            bnbench.load_plane(path, arm=arm)
