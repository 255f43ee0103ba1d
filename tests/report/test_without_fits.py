"""A results folder without a fit: report and status say what is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from bnbench.bn_policy import NO_BN
from bnbench.report import build_report
from bnbench.results import layout
from bnbench.results.evaluations import COLUMNS, Evaluation
from bnbench.results.folder_protocol import open_folder
from bnbench.results.smoothness import COLUMNS as MEASURED
from bnbench.results.smoothness import MeasuredNetwork, MeasuredPlane
from bnbench.results.smoothness_settings import PlaneSettings, SmoothnessSettings
from bnbench.sweep.status_words import counts, pace
from tests.fits import IDENTITY, KEY, TINY, make_result, status_of
from tests.report.built import page_of, record_of

MEASURES = dict.fromkeys(MEASURED[MEASURED.index("step") :], 1.0)


def network(folder: Path) -> None:
    asked = MeasuredNetwork(TINY, SmoothnessSettings(steps=6, batch=12, minibatches=2, points=2), KEY)
    asked.write(folder, pd.DataFrame([MEASURES | {"step": step} for step in (0, 6)]), {})


def pixels(folder: Path) -> None:
    settings = PlaneSettings(batch=12, minibatches=2, pixels=1)
    row = MEASURES | {"step": 6, "row": 0, "column": 0}
    MeasuredPlane(TINY, settings, KEY, folder=folder, fit=IDENTITY).write(folder, pd.DataFrame([row]), {})


def evaluation(folder: Path) -> None:
    asked = Evaluation(TINY, KEY, IDENTITY, "0" * 16, "test", 60, NO_BN)
    summary = make_result(protocol=TINY).summary
    rows = summary[summary["split"] == "test"].assign(device="cpu", threads=1)
    asked.write(layout.evaluations_folder(folder), rows[[name for name in COLUMNS if name in rows]])


def plane(folder: Path) -> None:
    path = layout.plane_path(folder, KEY)
    path.parent.mkdir()
    path.write_bytes(b"")


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("write", "named", "table"),
    [
        (network, "1 network", ""),
        (pixels, "1 plane measured", "smoothness_planes"),
        (evaluation, "1 evaluation", "evaluations"),
        (plane, "1 stored plane", ""),
    ],
)
def test_what_is_there_without_a_fit_is_told(
    write: Callable[[Path], None], named: str, table: str, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    open_folder(folder, TINY)
    write(folder)
    built = build_report(folder, tmp_path / "report", formats=("html", "json"))
    answer = record_of(tmp_path / "report")["answer"]
    assert built.broken == []
    assert named in answer["headline"]
    assert answer["headline"] in built.headlines[0]
    assert named in page_of(tmp_path / "report").text
    if table:
        assert record_of(tmp_path / "report")["tables"][table]["rows"]
    status = status_of(folder)
    assert named in counts(status)
    assert "bnbench report" in pace(status)
    assert status.as_dict()["beside"] == status.beside
