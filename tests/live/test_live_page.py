"""The live page in a browser: it follows a sweep without being opened anew, whatever an arm is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results.asked import effective_config, write_config
from bnbench.results.claims import claim
from tests.browser import Browser
from tests.live.test_live import run_a_fit, served
from tests.synthetic import SMALL, write_sweep

pytestmark = pytest.mark.nightly

HOSTILE = "pkg.nets:make</script><img src=x onerror=document.title='taken'>"
ARMS = ("plain", "bn", HOSTILE)


def of_kind(kind: str) -> str:
    return f"document.querySelectorAll('.fit.{kind}').length"


@pytest.mark.parametrize(("width", "dark"), [(400, True), (1000, False), (1400, True)])
def test_it_follows_a_sweep_without_being_opened_anew(
    chromium: Browser, tmp_path: Path, width: int, dark: bool
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    key = FitKey("plain", 0.5, 2)
    with served(folder) as server:
        chromium.visit(server.address, width, dark=dark)
        chromium.wait_for("document.querySelector('#all .trouble') !== null")
        chromium.run("window.isTheSame = true")
        write_sweep(folder, arms=ARMS, skip=[("plain", 0.5, 2)])
        write_config(folder, effective_config(SMALL, Grid(ARMS, (0.3, 0.5), (1, 2)), {}))
        with claim(folder, key):
            run_a_fit(folder, key)
            chromium.wait_for(f"{of_kind('running')} === 1 && {of_kind('done')} === 11")
            chromium.wait_for("[...document.querySelectorAll('.fit img')].every(image => image.naturalWidth === 6)")
            traced = chromium.run(
                "[...document.querySelectorAll('.running-fits polyline')].map(line => line.points.length)"
            )
            assert traced == [3, 3]
            chromium.run("document.querySelector('.fit.done').click()")
            chromium.wait_for("document.querySelectorAll('.chosen img').length === 3")
            first = "document.querySelector('.fit.done img')"
            chromium.run(f"window.first = {first}")
            assert chromium.run("document.documentElement.scrollWidth") == width
        write_sweep(folder, arms=ARMS)
        chromium.wait_for(f"{of_kind('done')} === 12")
        assert chromium.run(f"window.isTheSame && window.first === {first}"), "what has not changed stays"
        assert chromium.run("document.querySelectorAll('.chosen img').length") == 3
        assert chromium.run("document.title") == "12/12 bnbench"
        assert chromium.complaints == []
    chromium.wait_for("document.querySelector('#state').className === 'trouble'")
