"""Protocols: what the hash covers, how they are stored, and what a knob refuses."""

from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from bnbench.protocol.datasets import DATASETS
from bnbench.protocol.picture_text import picture_text
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import SECTIONS, FitKey, Grid, Protocol
from bnbench.protocol.sections import TrainingProtocol

BASE = PROFILES["compact"]
KNOBS = {knob_field.name: knob_field for section in SECTIONS.values() for knob_field in fields(section)}


def another_value(name: str) -> Any:
    """A value that the knob accepts and that differs from the one in BASE."""
    value, limits = dict(BASE.knobs())[name], KNOBS[name].metadata
    if name == "picture":
        rows, columns = BASE.mask.mask_size
        return picture_text("other", b"\x80" + bytes(-(-rows * columns // 8) - 1))
    if "choices" in limits:
        return next(choice for choice in limits["choices"] if choice != value)
    if "reads" in limits:
        return "recalibrate:64"
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return (*value[:-1], value[-1] + 1)
    return value + 1


def test_no_two_sections_have_a_knob_of_the_same_name() -> None:
    assert len(KNOBS) == sum(len(fields(section)) for section in SECTIONS.values())


@pytest.mark.parametrize("name", KNOBS)
def test_every_knob_has_a_sentence_and_a_constraint(name: str) -> None:
    limits = KNOBS[name].metadata
    assert limits["help"].endswith(".")
    assert isinstance(KNOBS[name].default, bool) or {"choices", "minimum", "above", "reads"} & limits.keys()


@pytest.mark.parametrize("name", KNOBS)
def test_hash_covers_every_knob(name: str) -> None:
    changed = BASE.with_knobs(**{name: another_value(name)})
    assert changed.hash != BASE.hash
    assert changed.differences(BASE) == {name: (another_value(name), dict(BASE.knobs())[name])}


def test_every_change_of_one_knob_gives_another_hash() -> None:
    hashes = {BASE.with_knobs(**{name: another_value(name)}).hash for name in KNOBS}
    assert len(hashes) == len(KNOBS)


def test_a_knob_added_later_leaves_stored_protocols_as_they_were() -> None:
    before = BASE.as_dict()
    del before["training"]["precision"]
    assert Protocol.from_dict(before) == BASE
    assert PROFILES["smoke"].hash == "74e6243b79e6", "of the protocol before the knob existed"
    later = BASE.with_knobs(precision="tf32")
    assert Protocol.from_dict(later.as_dict()) == later


def test_hash_ignores_the_name_of_the_profile() -> None:
    renamed = replace(BASE, profile="mine")
    assert renamed.hash == BASE.hash
    assert renamed.id == f"mine-{BASE.hash}"
    assert re.fullmatch(r"[0-9a-f]{12}", BASE.hash)


def test_a_stored_protocol_keeps_the_revision_of_its_code() -> None:
    earlier = replace(BASE, revision=0)
    assert earlier.hash != BASE.hash
    assert Protocol.from_dict(earlier.as_dict()) == earlier


def test_equal_numbers_give_equal_hashes() -> None:
    assert BASE.with_knobs(threshold=2).hash == BASE.with_knobs(threshold=2.0).hash


def test_profiles_are_known_by_their_name_and_differ() -> None:
    assert {"smoke", "quick", "compact", "paper"} <= PROFILES.keys()
    assert all(protocol.profile == name for name, protocol in PROFILES.items())
    assert len({protocol.hash for protocol in PROFILES.values()}) == len(PROFILES)


def test_paper_profile_states_the_papers_numbers() -> None:
    paper = dict(PROFILES["paper"].knobs())
    expected = {
        "dataset": "fashion-mnist",
        "pool": 1,
        "held_out": 0,
        "widths": (8, 8, 32, 32, 64, 64),
        "strides": (1, 1, 1, 1, 1, 1),
        "map_size": 4,
        "hidden": 128,
        "gain": 1.0,
        "bn_scale": "uniform+0.5",
        "mask_size": (30, 30),
        "mask_kind": "random",
        "origin": "centre",
        "threshold": 2.5,
        "black_pixels": 50,
        "white_pixels": 50,
        "images": 512,
        "minibatch": "shared",
        "steps": 11_800,
        "learning_rate": 3e-4,
        "schedule": "constant",
        "initial_scale": 0.1,
        "clip": 100.0,
        "split": "test",
        "test_images": 0,
    }
    assert {name: paper[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("smoke", "74e6243b79e6"), ("quick", "f38498e78eb8"), ("compact", "319c90da0bff"), ("paper", "cfb89e6f5eea")],
)
def test_knobs_added_later_leave_the_profiles_as_they_were(name: str, expected: str) -> None:
    assert PROFILES[name].hash == expected


@pytest.mark.parametrize(("name", "like"), [("authors", "paper"), ("compact-authors", "compact")])
def test_the_authors_profiles_differ_from_their_model_in_what_the_code_does_otherwise(name: str, like: str) -> None:
    found = {knob: here for knob, (here, _) in PROFILES[name].differences(PROFILES[like]).items()}
    expected = {
        "threshold": 5.0,
        "mask_kind": "framed",
        "initial_weights": "torch",
        "inputs": "unit",
        "bn_scale": "zero+1",
        "directions": "from-origin",
        "origin": "middle-pixel",
        "minibatch": "shared",
        "test_images": 100,
    }
    assert found == {knob: value for knob, value in expected.items() if dict(PROFILES[like].knobs())[knob] != value}
    assert dict(PROFILES[name].knobs()).items() >= expected.items()


@pytest.mark.parametrize("name", PROFILES)
def test_round_trip_through_json(name: str) -> None:
    protocol = PROFILES[name]
    restored = Protocol.from_dict(json.loads(json.dumps(protocol.as_dict())))
    assert restored == protocol
    assert restored.hash == protocol.hash


@pytest.mark.parametrize("section", SECTIONS)
def test_from_dict_refuses_a_missing_section(section: str) -> None:
    stored = BASE.as_dict()
    del stored[section]
    with pytest.raises(ValueError, match=section):
        Protocol.from_dict(stored)


@pytest.mark.parametrize("name", [name for name, knob_field in KNOBS.items() if "neutral" not in knob_field.metadata])
def test_from_dict_refuses_a_missing_knob(name: str) -> None:
    stored = BASE.as_dict()
    for section in SECTIONS:
        stored[section].pop(name, None)
    with pytest.raises(ValueError, match=name):
        Protocol.from_dict(stored)


@pytest.mark.parametrize(
    "stored",
    [{}, {"profile": "x"}, {**BASE.as_dict(), "mask": {"colour": "red"}}, {**BASE.as_dict(), "mask": 3}],
    ids=["empty", "name only", "unknown knob", "no section"],
)
def test_from_dict_refuses_what_is_no_protocol(stored: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a protocol"):
        Protocol.from_dict(stored)


def test_with_knobs_changes_what_is_named_and_nothing_else() -> None:
    changed = BASE.with_knobs(steps=7, widths=(4, 8), strides=(1, 2), dataset="digits")
    assert (changed.training.steps, changed.network.widths, changed.data.dataset) == (7, (4, 8), "digits")
    assert changed.differences(BASE).keys() == {"steps", "widths", "strides", "dataset"}
    assert changed.profile == BASE.profile
    assert BASE.with_knobs() == BASE


def test_with_knobs_refuses_an_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"step;.*steps"):
        BASE.with_knobs(step=7)


def test_protocols_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        BASE.training.steps = 3  # type: ignore[misc]  # that it cannot be set is what is tested


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"learning_rate": -1}, "learning_rate -1: .*above 0"),
        ({"learning_rate": float("nan")}, "learning_rate nan: .*above 0"),
        ({"threshold": "2.5"}, "threshold '2.5': .*above 0"),
        ({"steps": 0}, "steps 0: .*least 1"),
        ({"steps": 1.5}, "steps 1.5: .*least 1"),
        ({"grey": 1}, "grey 1: .*true or false"),
        ({"images": 1}, "images 1: .*least 2"),
        ({"held_out": -1}, "held_out -1: .*least 0"),
        ({"dataset": "stl10"}, f"dataset stl10: .*{'.*'.join(DATASETS)}"),
        ({"origin": "left"}, "origin left: .*centre.*corner.*middle-pixel"),
        ({"widths": (8, 0)}, "widths 8,0: .*least 1 .*8,8,16"),
        ({"strides": ()}, "strides : .*least 1 .*8,8,16"),
        ({"mask_size": (2, 30)}, "mask_size 2x30: .*least 3.*30x20"),
        ({"mask_size": (9,)}, "mask_size 9: .*least 3.*30x20"),
        ({"mask_size": 9}, "mask_size 9: .*least 3.*30x20"),
        ({"bn_statistics": "batch"}, "bn_statistics batch: .*batch:N .*recalibrate:N .*batch:512"),
        ({"bn_statistics": "running:0"}, "bn_statistics running:0: .*batch:N .*recalibrate:N .*batch:512"),
        ({"widths": (8, 16)}, "widths 8,16 .*2 .*strides 1,1,2,1,1,1 .*6"),
    ],
)
def test_a_refused_knob_names_itself_its_value_and_a_way_out(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(ValueError, match=f"^{names}") as refused:
        BASE.with_knobs(**changes)
    option = f"--{next(iter(changes)).replace('_', '-')}"
    assert refused.value.args[0].startswith(option), "what the command says"


def test_a_section_on_its_own_is_checked_too() -> None:
    with pytest.raises(ValueError, match=r"^clip 0: .*above 0"):
        TrainingProtocol(clip=0)


def test_grid_has_the_seed_outermost_and_the_arms_of_a_replicate_together() -> None:
    keys = Grid(arms=("plain", "bn"), probs=(0.1, 0.9), seeds=(1, 2)).fits()
    assert keys == [
        FitKey("plain", 0.1, 1),
        FitKey("bn", 0.1, 1),
        FitKey("plain", 0.9, 1),
        FitKey("bn", 0.9, 1),
        FitKey("plain", 0.1, 2),
        FitKey("bn", 0.1, 2),
        FitKey("plain", 0.9, 2),
        FitKey("bn", 0.9, 2),
    ]


def test_grid_and_key_read_well() -> None:
    assert str(Grid(("plain", "bn"), (0.1,), (1, 2, 3))) == "6 fits = 2 arms × 1 probability × 3 seeds"
    assert str(Grid(("bn",), (0.1, 0.2), (1,))) == "2 fits = 1 arm × 2 probabilities × 1 seed"
    assert str(FitKey("bn", 0.5, 3)) == "bn p=0.5 seed=3"


@pytest.mark.parametrize("p", [0.001, 0.1, 0.29, 0.3, 0.57, 0.999])
def test_permille_is_exact(p: float) -> None:
    assert FitKey("bn", p, 1).permille == int(f"{p:.3f}".replace(".", ""))
