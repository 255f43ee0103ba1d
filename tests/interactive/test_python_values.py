"""What a call from Python gives: natural values are taken, and what is wrong is named as Python names it."""

from __future__ import annotations

import re
from contextlib import chdir
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnbench
from bnbench.errors import RequestError
from bnbench.interactive import values
from bnbench.interactive.knobs import protocol_of
from bnbench.interactive.naming import in_python, names_of
from bnbench.protocol.profiles import PROFILES
from tests.interactive.test_interactive import KNOBS

FLAGS = [name for name, one in signature(bnbench.run).parameters.items() if isinstance(one.default, bool)]


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"profile": "fast"}, "fast"),
        ({"probs": 1.5}, "probs 1.5"),
        ({"probs": [0.1, 0.1]}, "probs"),
        ({"probs": []}, "probs"),
        ({"seeds": 0}, "seeds 0"),
        ({"seeds": 2.5}, "seeds 2.5"),
        ({"arms": "plane"}, "plane"),
        ({"arms": [print]}, "print"),
        ({"arms": ["plain", "plain"]}, "arms plain,plain"),
        ({"devices": "tpu"}, "tpu"),
        ({"jobs": 0}, "jobs 0"),
        ({"threads": True}, "threads True"),
        ({"chunk": -1}, "chunk -1"),
        ({"checkpoint_every": 0}, "checkpoint_every 0"),
        ({"fit_timeout": float("inf")}, "fit_timeout inf"),
        ({"fit_memory": 0.5}, "fit_memory 0.5"),
        ({"fit_memory": 100, "backend": "inline"}, "fit_memory 100 and backend inline"),
        ({"shard": (3, 2)}, "shard 3/2"),
        ({"backend": "cloud"}, "cloud"),
        ({"steps": 0}, "steps 0"),
        ({"widths": [4, 0]}, "widths 4,0"),
        ({"keep_plane": True}, "keep_planes"),
        ({"stepz": 3}, "steps"),
        ({"out": "results"}, "folder"),
        ({"images": 5000}, "images 5000"),  # refused beside the images
        ({"mask_kind": "framed"}, "mask_size 5"),
        ({"widths": [4, 4]}, "strides"),
        # Values of a wrong kind: each is refused, and none is taken for the number that it could pass for.
        ({"mask_size": [4, True]}, "mask_size 4xTrue"),
        ({"mask_size": True}, "mask_size True"),
        ({"mask_size": "4x"}, "mask_size"),
        ({"mask_size": 4.0}, "mask_size 4.0"),
        ({"mask_size": None}, "mask_size None"),
        ({"widths": [4, True]}, "widths 4,True"),
        ({"widths": "4"}, "widths '4'"),
        ({"widths": b"4"}, "widths"),
        ({"widths": {4, 8}}, "widths"),
        ({"steps": True}, "steps True"),
        ({"steps": np.bool_(True)}, "steps True"),
        ({"steps": 4.0}, "steps 4.0"),
        ({"steps": "4"}, "steps '4'"),
        ({"steps": None}, "steps None"),
        ({"learning_rate": True}, "learning_rate True"),
        ({"learning_rate": "0.1"}, "learning_rate '0.1'"),
        ({"dataset": None}, "dataset None"),
        ({"bn_statistics": None}, "None"),
        ({"profile": None}, "profile None"),
        ({"profile": True}, "profile True"),
        ({"probs": True}, "probs True"),
        ({"probs": [0.3, None]}, "None"),
        ({"probs": {0.3: 1}}, "probs"),
        ({"probs": None}, "probs None"),
        ({"probs": ""}, "probs ''"),
        ({"seeds": True}, "seeds True"),
        ({"seeds": [1, True]}, "True"),
        ({"seeds": 2.0}, "seeds 2.0"),
        ({"seeds": [1, 2.0]}, "seeds 2.0"),
        ({"seeds": None}, "seeds None"),
        ({"arms": None}, "arms None"),
        ({"arms": b"plain"}, "arms b'plain'"),
        ({"arms": ""}, "arms"),
        ({"arms": [True]}, "arms True"),
        ({"folder": ""}, "folder"),
        ({"folder": True}, "folder True"),
        ({"folder": b"own"}, "folder b'own'"),
        ({"data_folder": 3}, "data_folder 3"),
        ({"backend": ""}, "backend ''"),
        ({"backend": None}, "backend None"),
        ({"backend": True}, "backend True"),
        ({"scheduler": ""}, "scheduler"),
        ({"devices": None}, "devices None"),
        ({"devices": [True]}, "devices True"),
        ({"devices": ""}, "devices"),
        *(({name: True}, f"{name} True") for name in ("per_device", "jobs", "threads", "chunk", "checkpoint_every")),
        *(({name: 2.0}, f"{name} 2.0") for name in ("per_device", "jobs", "threads", "chunk")),
        *(({name: ""}, f"{name} ''") for name in ("per_device", "jobs", "threads", "chunk", "fit_timeout")),
        *(({name: [2]}, f"{name} [2]") for name in ("per_device", "jobs", "threads", "chunk", "fit_timeout")),
        *(({name: None}, f"{name} None") for name in ("threads", "checkpoint_every")),
        ({"fit_timeout": False}, "fit_timeout False"),
        ({"shard": None}, "shard None"),
        ({"shard": (1, True)}, "shard 1/True"),
        ({"shard": (1.0, 2)}, "shard 1.0/2"),
        ({"shard": 3}, "shard 3"),
        *(({name: 1}, f"{name} 1") for name in FLAGS),
        *(({name: "no"}, f"{name} 'no'") for name in FLAGS),
        *(({name: None}, f"{name} None") for name in FLAGS),
        ({"measure_at": 0}, "measure_at 0"),
        ({"measure_at": True}, "measure_at True"),
        ({"measure_at": 2.0}, "measure_at 2.0"),
        ({"measure_at": [1, True]}, "measure_at 1,True"),
        ({"measure_at": ""}, "measure_at"),
        ({"measure_at": [1, 10_000]}, "measure_at 1,10000"),
    ],
)
def test_a_wrong_request_names_it_and_computes_nothing(asked: dict[str, Any], named: str, tmp_path: Path) -> None:
    with chdir(tmp_path), pytest.raises(RequestError) as refused:
        bnbench.run(**{"profile": "smoke", "progress": False, "backend": "inline", **KNOBS, **asked})
    assert named in str(refused.value)
    assert "--" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheduler", ["", " ", 3, True, b"tcp://10.0.0.1:8786"])
def test_a_scheduler_that_is_no_address_is_refused(scheduler: Any) -> None:
    with pytest.raises(RequestError, match=f"scheduler {re.escape(repr(scheduler))}"):
        bnbench.Dask(scheduler)


def test_every_argument_and_knob_has_the_name_that_python_gives_it() -> None:
    names = names_of(bnbench.run, out="folder")
    knobs = [name for name, _ in PROFILES["smoke"].knobs()]
    for name in (*signature(bnbench.run).parameters, *knobs):
        sentence = f"--{name.replace('_', '-')} 3: give another."
        assert in_python(sentence, names) in (f"{name} 3: give another.", f"{name}=True 3: give another.")
    for untouched in ("bnbench run --force --keep-planes", "see https://x.org/a--steps", "its own --option"):
        assert in_python(untouched, names) == untouched


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("0.1:0.3:0.1", (0.1, 0.2, 0.3)),
        (0.5, (0.5,)),
        ([0.1 + 0.2, 0.7], (0.3, 0.7)),
        (np.linspace(0.1, 0.9, 9), tuple(i / 10 for i in range(1, 10))),
    ],
)
def test_natural_probabilities(given: Any, meant: tuple[float, ...]) -> None:
    assert values.probs_of(given) == meant


@pytest.mark.parametrize(
    ("given", "meant"), [(3, (1, 2, 3)), ([3], (3,)), (range(4, 6), (4, 5)), (np.int64(2), (1, 2)), ("7:7:1", (7,))]
)
def test_natural_seeds(given: Any, meant: tuple[int, ...]) -> None:
    assert values.seeds_of(given) == meant


@pytest.mark.parametrize(
    ("given", "meant"),
    [(12, "12"), ("12", "12"), (np.int64(3), "3"), ([300], "300,"), (range(2, 5), "2,3,4"), ("7, 5", "5,7")],
)
def test_natural_steps(given: Any, meant: str) -> None:
    assert str(values.steps_of(given)) == meant
    assert values.steps_of(None) is None


def test_natural_knobs_and_a_protocol_of_ones_own() -> None:
    knobs: dict[str, Any] = {"mask_size": np.int64(5), "widths": [3], "strides": [1]}
    changed = protocol_of(PROFILES["quick"], knobs, [])
    assert changed == PROFILES["quick"].with_knobs(mask_size=(5, 5), widths=(3,), strides=(1,))
    assert protocol_of("smoke", {"mask_size": [5, 6]}, []).mask.mask_size == (5, 6)
