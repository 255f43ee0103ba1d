"""What tests of reports share."""

from __future__ import annotations

import pytest

from bnbench.report.page import writer
from tests.report.built import EMPTY


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the drawing out where a test looks at the rest: it is most of the time."""
    monkeypatch.setattr(writer, "draw_files", lambda draw, endings: dict.fromkeys(endings, EMPTY))
