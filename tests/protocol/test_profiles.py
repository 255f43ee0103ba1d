"""The profiles that follow the authors' code run, made small enough for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bnbench
from bnbench.results import layout
from bnbench.results.fits import read_fit
from tests.cli.test_cli import bnbench as command

SMALL: dict[str, Any] = {"dataset": "digits", "pool": 1, "held_out": 200, "widths": (2, 2), "strides": (1, 1)}
SMALL |= {"hidden": 4, "mask_size": 7, "black_pixels": 4, "white_pixels": 4, "images": 4, "steps": 2}
SMALL |= {"train_images": 50}


@pytest.mark.parametrize("profile", ["authors", "compact-authors"])
def test_the_authors_profiles_fit_and_measure_every_arm(profile: str, tmp_path: Path) -> None:
    found = bnbench.run(
        profile,
        **SMALL,
        probs=0.5,
        seeds=1,
        arms=("plain", "bn", "skip"),
        folder=tmp_path / profile,
        backend="inline",
        devices="cpu",
        jobs=1,
        chunk=8,
        progress=False,
    )
    assert found.fits["arm"].tolist() == ["plain", "bn", "skip"]
    assert found.fits["difference"].notna().all()
    landscape = read_fit(layout.fit_paths(tmp_path / profile)[0]).landscape
    frame = landscape[(landscape["row"] % 6 == 0) | (landscape["column"] % 6 == 0)]
    assert not frame["black"].any()
    assert landscape["test_accuracy"].map(lambda share: (100 * share) % 1 < 1e-4 or (100 * share) % 1 > 1 - 1e-4).all()


def test_the_command_plans_a_sweep_of_the_authors_code(tmp_path: Path) -> None:
    options = ["--dataset", "digits", "--pool", "1", "--held-out", "200", "--probs", "0.5", "--seeds", "101,102"]
    planned = command("run", "--profile", "compact-authors", *options, "--dry-run", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert "4 to run" in planned.stderr
    assert not (tmp_path / "results").exists()
