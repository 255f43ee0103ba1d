"""Checkpoints: from any step on, a fit goes on to the same bits."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bnbench.mpo.fit import Fit
from bnbench.protocol.protocol import FitKey
from bnbench.protocol.sections import TrainingProtocol
from bnbench.results import layout, store
from bnbench.results.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from tests.cases import FOREIGN, make_images, make_mask, make_plane

KEY = FitKey("plain", 0.5, 1)
STEPS = 7
# Half of the white pixels are clamped, so that steps look for them first; rounds of pixels and images end within.
TRAINING = TrainingProtocol(black_pixels=5, white_pixels=4, images=6, steps=STEPS, learning_rate=1e-2, threshold=1.5)


def start(arm: str, training: TrainingProtocol) -> Fit:
    black = make_mask()
    under_way = Fit(make_plane(arm).float(), black, torch.ones_like(black), images(), training, chunk=4)
    under_way.clamped_share = 0.39
    return under_way


def images() -> Any:
    data = make_images()
    return replace(data, pixels=data.pixels.float())


def leaves(state: Any) -> list[Any]:
    """A nested state as a flat list."""
    if isinstance(state, dict):
        return [leaf for name in state for leaf in (name, *leaves(state[name]))]
    if isinstance(state, list | tuple):
        return [leaf for item in state for leaf in leaves(item)]
    return [state]


def assert_equal_states(one: Any, other: Any) -> None:
    pairs = list(zip(leaves(one), leaves(other), strict=True))
    assert len(pairs) > 30
    for ours, theirs in pairs:
        assert type(ours) is type(theirs)
        assert torch.equal(ours, theirs) if isinstance(ours, Tensor) else ours == theirs


@pytest.mark.parametrize(
    ("arm", "minibatch"),
    [
        ("bn", "own"),
        (FOREIGN, "shared"),
        *(
            pytest.param(*both, marks=pytest.mark.nightly)
            for both in (("plain", "own"), ("plain", "shared"), ("bn", "shared"), (FOREIGN, "own"))
        ),
    ],
)
def test_a_fit_goes_on_from_every_step_to_the_same_bits(tmp_path: Path, arm: str, minibatch: str) -> None:
    training = replace(TRAINING, minibatch=minibatch)
    whole = start(arm, training)
    checkpoints: list[Checkpoint] = []
    for step in range(STEPS):
        folder = tmp_path / str(step)
        (folder / "running").mkdir(parents=True)
        save_checkpoint(folder, KEY, Checkpoint("identity", whole.state_dict(), 1.5 * step, 1, {}))
        found = load_checkpoint(folder, KEY, "identity")
        assert found is not None
        assert found.seconds == 1.5 * step
        checkpoints.append(found)
        whole.advance()
    for step, checkpoint in enumerate(checkpoints):
        resumed = start(arm, training)
        resumed.load_state_dict(checkpoint.state)
        assert resumed.step == step
        while not resumed.is_done:
            resumed.advance()
        assert_equal_states(resumed.state_dict(), whole.state_dict())
        assert resumed.rows == whole.rows


def test_all_that_a_fit_draws_and_adds_up_is_in_its_state() -> None:
    """Each part of a state is needed: with that of another step in its place, a fit ends elsewhere."""
    whole = start("bn", TRAINING)
    for _ in range(3):
        whole.advance()
    early, now = start("bn", TRAINING).state_dict(), whole.state_dict()
    assert early.keys() == now.keys()
    finished = resumed_from(now)
    for part in now.keys() - {"clamped_share"}:
        other = resumed_from({**now, part: early[part]})
        assert other != finished, part


def resumed_from(state: dict[str, Any]) -> str:
    resumed = start("bn", TRAINING)
    resumed.load_state_dict(state)
    while not resumed.is_done:
        resumed.advance()
    return repr(leaves(resumed.state_dict()))


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
def test_a_checkpoint_goes_on_on_a_device_whose_random_numbers_are_drawn_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU orders and generators stay on the CPU; a device without memory shows what goes where."""
    here = start("bn", TRAINING)
    here.advance()
    (tmp_path / "running").mkdir()
    save_checkpoint(tmp_path, KEY, Checkpoint("identity", here.state_dict(), 1.0, 1, {}))
    found = load_checkpoint(tmp_path, KEY, "identity")
    assert found is not None
    data, black = images().to("meta"), make_mask()
    monkeypatch.setattr("bnbench.mpo.fit.check_outputs", lambda network, data: None)  # there are no values to look at
    there = Fit(make_plane("bn").float().to("meta"), black, torch.ones_like(black), data, TRAINING, chunk=4)
    there.load_state_dict(found.state)
    moments = [value for state in there.optimizer.state.values() for value in state.values()]
    assert [tensor.device.type for tensor in moments] == ["meta"] * 6
    for cycle in ("black_cycle", "white_cycle", "image_cycle"):
        assert torch.equal(getattr(there, cycle).draw(9), getattr(here, cycle).draw(9))


def save(folder: Path) -> Path:
    (folder / "running").mkdir()
    save_checkpoint(folder, KEY, Checkpoint("identity", start("plain", TRAINING).state_dict(), 2.0, 3, {"threads": 1}))
    return layout.checkpoint_path(folder, KEY)


def test_a_checkpoint_of_another_fit_is_not_used(tmp_path: Path) -> None:
    path = save(tmp_path)
    with pytest.raises(store.StoreError, match=f"{re.escape(str(path))}.*another fit"):
        load_checkpoint(tmp_path, KEY, "another identity")
    assert load_checkpoint(tmp_path, replace(KEY, seed=2), "identity") is None
    found = load_checkpoint(tmp_path, KEY, "identity")
    assert found is not None
    assert (found.seconds, found.parts, found.provenance) == (2.0, 3, {"threads": 1})


def test_a_checkpoint_of_another_format_is_not_used(tmp_path: Path) -> None:
    path = save(tmp_path)
    torch.save({**torch.load(path, weights_only=True), "format": 99}, path)
    with pytest.raises(store.StoreError, match=f"{re.escape(str(path))}.*another version"):
        load_checkpoint(tmp_path, KEY, "identity")


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path)
    torch.save({"format": 1, "state": Path("code")}, path)
    with pytest.raises(store.StoreError, match=re.escape(str(path))):
        load_checkpoint(tmp_path, KEY, "identity")


def test_a_damaged_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    path = save(tmp_path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = bytes([whole[middle] ^ 0xFF])
    damaged = [whole[:length] for length in range(0, len(whole), len(whole) // 50)]
    damaged += [b"rubbish", bytes(1000), b"\x80\x02.", b"[]", whole[:middle] + flipped + whole[middle + 1 :]]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(store.StoreError, match=re.escape(str(path))) as raised:
            load_checkpoint(tmp_path, KEY, "identity")
        assert len(str(raised.value).splitlines()) == 1


def test_a_folder_in_place_of_a_checkpoint_is_named(tmp_path: Path) -> None:
    layout.checkpoint_path(tmp_path, KEY).mkdir(parents=True)
    with pytest.raises(store.StoreError, match=r"plain_p0\.500_seed1\.pt"):
        load_checkpoint(tmp_path, KEY, "identity")


def test_a_checkpoint_that_was_edited_is_refused_and_an_earlier_one_without_digest_is_read(tmp_path: Path) -> None:
    path = save(tmp_path)
    stored = torch.load(path, weights_only=True)
    stored["state"]["step"] = 10**9
    torch.save(stored, path)
    with pytest.raises(store.StoreError, match="digest"):
        load_checkpoint(tmp_path, KEY, "identity")
    torch.save({**stored, "format": 2}, path)
    assert load_checkpoint(tmp_path, KEY, "identity") is not None
