"""What tests of damaged results share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bnbench.results import chunks
from bnbench.results.asked import effective_config, write_config
from tests.results.damaged import GRID, SHORT
from tests.synthetic import write_sweep


@pytest.fixture(scope="session")
def undamaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damages") / "own"
    write_sweep(folder, probs=GRID.probs, seeds=GRID.seeds, protocol=SHORT)
    write_config(folder, effective_config(SHORT, GRID, {}))
    chunks.keep_chunk(folder, 8)
    return folder


@pytest.fixture
def sweep(undamaged: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(undamaged, tmp_path / "own"))
