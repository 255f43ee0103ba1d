"""Settings that every test shares."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import xdist

from tests import warm

if TYPE_CHECKING:
    from tests.browser import Browser

# The longest files first, so that the workers end together; each runs on one worker, which makes its sweeps once.
FIRST = (
    *("test_report", "test_cli", "test_bend", "test_evaluate", "test_failures", "test_arms", "test_unusual_sweeps"),
    *(
        "test_confinement",
        "test_strategy",
        "test_several",
        "test_replayed",
        "test_interactive",
        "test_fit",
        "test_runner",
    ),
    *("test_bn_statistics", "test_course", "test_notebooks", "test_disk", "test_fused", "test_pages", "test_status"),
    *("test_watching", "test_pictures", "test_own_images", "test_environment", "test_verdict", "test_damages"),
    *("test_ladder", "test_mutants", "test_checkpoints", "test_capacity", "test_figures", "test_cluster"),
)


def pytest_configure(config: pytest.Config) -> None:
    """All workers of a run share one process that forks; see tests/warm.py."""
    if warm.FOLDER not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="bnbench-warm-")
        os.environ[warm.FOLDER] = folder.name
        config.add_cleanup(folder.cleanup)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Settings for the process that runs tests; the one that hands them out to workers need not import torch."""
    if xdist.is_xdist_controller(session):
        return
    gc.disable()  # until everything is imported, for the second that it takes
    import torch
    from hypothesis import settings

    settings.register_profile("bnbench", deadline=None, derandomize=True, print_blob=True)
    settings.load_profile("bnbench")
    torch.set_num_threads(1)  # tests run beside each other
    warm.quicken()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def pytest_collection_finish() -> None:
    """What is there now stays until the end: nobody need look through it for garbage, now or later."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty results folder of the smoke protocol."""
    from bnbench.results.folder_protocol import open_folder
    from tests.fits import SMOKE

    path = tmp_path / "results"
    open_folder(path, SMOKE)
    return path


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The one browser that a worker drives; each test opens a page in it anew."""
    from tests.browser import MISSING, Browser, find_chromium

    path = find_chromium()
    if path is None:
        pytest.skip(MISSING)
    browser = Browser(path, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(autouse=True, scope="session")
def _undurable() -> Iterator[None]:
    """Do not wait for the disk: files appear whole all the same. Processes of their own still do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The same random numbers in every order of the tests, and on every worker."""
    import torch

    torch.default_generator.manual_seed(0)  # without a look at devices, which takes longer than many a test
